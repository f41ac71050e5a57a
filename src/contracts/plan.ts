/** From what is written in a contract to what measure.ts, points.ts and judge.ts work with: plain data, which travels as JSON. */
import { suggest } from '../core/nearest.ts';
import { parseBytesPerSecond, parseDurationMs, parseShare } from '../core/units.ts';
import type { Across, ConditionMap, ContractSource, NO_DATA, Take } from './contract.ts';
import type { Example } from './example.ts';
import { hashText } from './hash.ts';
import { conditionFaults, SignalPlanner } from './signal.ts';
import type { Unit } from './threshold.ts';

/** `share`: of bad or slow items. `burn`: how fast an objective's budget burns. `silence`: since the last item. */
export type Measured = 'share' | 'burn' | 'rate' | 'take' | 'silence';

export interface SignalPlan {
  name: string;
  /** Hash of everything that changes what is measured, 53 bits: windows of an unchanged signal survive a reload. */
  key: number;
  of: 'spans' | 'logs' | 'metrics';
  /** Names the metric has had; empty unless `of` is metrics. */
  metrics: string[];
  measured: Measured;
  /** The signal's own conditions; those of the contract come first, for spans. */
  where: ConditionMap | null;
  /** Any must match. */
  bad: ConditionMap[];
  slowerThanMs: number | null;
  take: Take | null;
  /** Of `take: p95`: 0.95. */
  quantile: number | null;
  /** `duration` or an attribute of spans, `sum` of a histogram; null: the metric's own value. */
  value: string | null;
  across: Across | null;
  unit: Unit;
  direction: 1 | -1;
  degraded: number | null;
  breached: number;
  /** Share of bad items that the objective allows; null without one. */
  budget: number | null;
  /** As written, for people. */
  thresholds: { degraded: string | null; breached: string };
  windowMs: number;
  minItems: number;
  forMs: number;
  recoverAfterMs: number;
  noData: (typeof NO_DATA)[number];
}

export interface ContractPlan {
  service: string;
  namespace: string | null;
  environment: string | null;
  serviceVersion: string | null;
  owner: string | null;
  version: string;
  /** Joins every signal over spans. */
  where: ConditionMap | null;
  signals: SignalPlan[];
  lateAfterMs: number;
  per: string | null;
  /** How many a span without `th` stands for. */
  upstreamWeight: number;
  /** What sampling is asked for when it breaks. */
  onBreach: { keep: number; lookBackMs: number; bytesPerSecond: number };
}

/** Where a fault lies, as keys and indexes from the top, and what it is. */
export interface ContractFault {
  path: (string | number)[];
  message: string;
}

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
  const upstream = parseShare(source.upstream_sampling ?? '100%') ?? 1;
  if (upstream === 0)
    faults.push({ path: ['upstream_sampling'], message: 'a sampler that lets nothing pass cannot be counted for' });
  for (const [i, { expect }] of (source.examples ?? []).entries())
    for (const name of Object.keys(expect).filter((one) => !names.includes(one)))
      faults.push({
        path: ['examples', i, 'expect', name],
        message: `no signal is called "${name}": ${suggest(name, names)}`,
      });
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
    lateAfterMs: parseDurationMs(source.late_after) ?? 0,
    per: source.per ?? null,
    upstreamWeight: upstream === 0 ? 1 : 1 / upstream,
    onBreach: {
      keep: parseShare(source.on_breach.keep) ?? 1,
      lookBackMs: parseDurationMs(source.on_breach.look_back) ?? 0,
      bytesPerSecond: parseBytesPerSecond(source.on_breach.budget) ?? 0,
    },
  };
  return { plan, examples, faults };
}
