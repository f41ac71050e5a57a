/** From what is written in a contract to its plan. */
import { suggest } from '../core/nearest.ts';
import { bytesPerSecondOf, millisecondsOf, shareOf } from '../core/units.ts';
import { conditionFaults } from './conditionFaults.ts';
import type { ContractSource } from './contract.ts';
import type { Example } from './example.ts';
import { exampleFaults } from './exampleFaults.ts';
import { hashText } from './hash.ts';
import type { ContractFault, ContractPlan } from './plan.ts';
import { SignalPlanner } from './signal.ts';

/** Plans a contract that has passed the schema; every fault that the schema cannot see is reported, none is thrown. */
export function planContract(source: ContractSource): {
  plan: ContractPlan;
  examples: Example[];
  faults: ContractFault[];
} {
  const faults: ContractFault[] = [];
  const names = source.signals.map(({ name }) => name);
  if (source.where) faults.push(...conditionFaults(source.where, 'spans', ['where']));
  const signals = source.signals.map((signal, i) => {
    if (names.indexOf(signal.name) < i)
      faults.push({ path: ['signals', i, 'name'], message: `"${signal.name}" stands twice` });
    return new SignalPlanner(source, signal, ['signals', i], faults).plan();
  });
  const upstream = shareOf(source.upstream_sampling ?? '100%');
  if (upstream === 0)
    faults.push({ path: ['upstream_sampling'], message: 'a sampler that lets nothing pass cannot be counted for' });
  for (const [i, example] of (source.examples ?? []).entries()) {
    faults.push(...exampleFaults(example, ['examples', i]));
    for (const name of Object.keys(example.expect).filter((one) => !names.includes(one)))
      faults.push({
        path: ['examples', i, 'expect', name],
        message: `no signal is called "${name}": ${suggest(name, names)}`,
      });
  }
  const { examples = [], ...judged } = source;
  const plan: ContractPlan = {
    service: source.service,
    namespace: source.namespace ?? null,
    environment: source.environment ?? null,
    serviceVersion: source.service_version ?? null,
    owner: source.owner ?? null,
    version: hashText(JSON.stringify(judged)).toString(16).padStart(14, '0').slice(0, 8),
    where: source.where ?? null,
    signals,
    lateAfterMs: millisecondsOf(source.late_after),
    per: source.per ?? null,
    upstreamWeight: upstream === 0 ? 1 : 1 / upstream,
    onBreach: {
      keep: shareOf(source.on_breach.keep),
      lookBackMs: millisecondsOf(source.on_breach.look_back),
      bytesPerSecond: bytesPerSecondOf(source.on_breach.budget),
    },
  };
  return { plan, examples, faults };
}
