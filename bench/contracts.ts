/**
 * What contracts cost: measuring three signals of one contract, and 500 contracts loaded, against the bare walk of the same frames in
 * alternating rounds; and one evaluation of 1,000 contracts on the main thread.
 *
 *   node --expose-gc bench/contracts.ts [--rounds N]
 */
import { parseArgs } from 'node:util';
import type { ContractSource } from '../src/contracts/contract.ts';
import { judgeSignal } from '../src/contracts/judge.ts';
import { addItems, newMemory } from '../src/contracts/memory.ts';
import type { ContractPlan } from '../src/contracts/plan.ts';
import { planContract } from '../src/contracts/planner.ts';
import { noAmounts } from '../src/contracts/window.ts';
import { observe } from '../src/worker/observe.ts';
import { createWorld, NOW_MS, PROCESSORS, type World } from './micro/world.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } });
const ROUNDS = Number(values.rounds);
const ROUND_MS = 150;

/** The API's three signals, as config/contracts has two of them. */
function contractFor(service: string): ContractPlan {
  const source = {
    contract: 'v1',
    service,
    where: { 'span.kind': 'server' },
    signals: [
      {
        name: 'errors',
        of: 'spans',
        bad: [{ status: 'error' }, { 'http.response.status_code': { gte: 500 } }],
        breached: 'above 5%',
      },
      { name: 'latency', of: 'spans', slower_than: '300ms', breached: 'above 20%' },
      {
        name: 'refused',
        of: 'spans',
        where: { 'http.route': { like: '/api/*' } },
        bad: { 'error.type': 'refused' },
        breached: 'above 2%',
      },
    ],
    window: '1m',
    for: '10s',
    recover_after: '1m',
    no_data: 'freeze',
    late_after: '2m',
    on_breach: { keep: '100%', look_back: '2m', budget: '20MiB/min' },
  };
  const { plan, faults } = planContract(source as ContractSource);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return plan;
}

const services = Array.from({ length: 16 }, (_, i) => `service-${String(i).padStart(2, '0')}`);
const others = Array.from({ length: 500 }, (_, i) => contractFor(`other-${i}`));
const variants = [
  { name: 'bare walk', contracts: [] as ContractPlan[], processors: [] },
  {
    name: 'three signals of one contract, on every span',
    contracts: services.map(contractFor),
    processors: [PROCESSORS.detect],
  },
  {
    name: '500 contracts, of which every span meets one',
    contracts: [...others, ...services.map(contractFor)].slice(-500),
    processors: [PROCESSORS.detect],
  },
].map(({ name, contracts, processors }) => ({
  name,
  world: createWorld({ only: 'traces', processors, contracts }),
  ns: [] as number[],
}));

for (let round = -2; round < ROUNDS; round++) {
  for (const { world, ns } of variants) {
    const from = process.cpuUsage();
    const until = performance.now() + ROUND_MS;
    let items = 0;
    while (performance.now() < until) {
      measureOnly(world);
      items += world.items;
    }
    const { user, system } = process.cpuUsage(from);
    // The first two rounds are for the compiler.
    if (round >= 0) ns.push(((user + system) * 1000) / items);
  }
}
/** Walks and measures; no checksums, which the journal wants. */
function measureOnly({ pool, parts, walk, observeTask }: World): void {
  const { measured } = observe(parts, walk, { ...observeTask, measureOnly: true });
  if (measured !== null) pool.discard(measured.block);
}

const [bare] = variants.map(({ ns }) => median(ns));
for (const { name, ns } of variants) {
  const own = median(ns);
  const share =
    bare === undefined || own === bare ? '' : `, ${((own - bare) / bare).toFixed(2)} times the bare walk on top of it`;
  console.log(
    `${name}: ${own.toFixed(0)} ns/span (${Math.min(...ns).toFixed(0)} - ${Math.max(...ns).toFixed(0)})${share}`,
  );
}
evaluate();

/** One second of 1,000 contracts, judged as production does, with a full window. */
function evaluate(): void {
  const plans = Array.from({ length: 1000 }, (_, i) => contractFor(`judged-${i}`));
  const second = Math.floor(NOW_MS / 1000);
  const watched = plans.flatMap(({ signals }) => signals.map((plan) => ({ plan, memory: newMemory(plan) })));
  for (const { memory } of watched)
    for (let i = 0; i < 60; i++) addItems(memory, (second + i) * 1000, { ...noAmounts(), items: 100, sum: i % 3 });
  const ms: number[] = [];
  for (let round = -5; round < 30; round++) {
    const from = performance.now();
    for (const { plan, memory } of watched) judgeSignal(plan, memory, second + 60 + round);
    if (round >= 0) ms.push(performance.now() - from);
  }
  console.log(
    `one evaluation of 1,000 contracts of three signals: ${median(ms).toFixed(1)} ms (${Math.min(...ms).toFixed(1)} - ${Math.max(...ms).toFixed(1)})`,
  );
}
