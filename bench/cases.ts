/** What one run of the bench holds side by side: levels of one workload, or a named set of cases whose figures are compared. */
import { WORKLOADS, type Workload } from './payloads.ts';
import { LEVELS, type Level } from './slot.ts';

export interface Case {
  /** What the table calls it. */
  name: string;
  level: Level;
  workload: Workload;
  /** Items a request; null: as many as the workload usually has. */
  batch: number | null;
  /** Items a second, 0 for a closed loop; or a share of what the run's first case has reached so far. */
  rate: number | { share: number };
  /** Start the agent from dist/. */
  dist: boolean;
}

const F4: Case = { name: 'F4', level: 'F4', workload: 'W-std', batch: null, rate: 0, dist: false };

/** The first case is the one that the others are held against. */
export const SCENARIOS: Readonly<Record<string, readonly Case[]>> = {
  levels: (['F0', 'F1', 'F2', 'F3', 'F4', 'F4z', 'naive'] as const).map((level) => ({ ...F4, name: level, level })),
  inputs: [
    { ...F4, name: 'W-std' },
    { ...F4, name: 'W-gzip', workload: 'W-gzip' },
    { ...F4, name: 'W-zstd', workload: 'W-zstd' },
    { ...F4, name: '100 a request', batch: 100 },
    { ...F4, name: 'W-small', workload: 'W-small' },
    { ...F4, name: 'W-mixed', workload: 'W-mixed' },
    { ...F4, name: 'W-logs', workload: 'W-logs' },
    { ...F4, name: 'W-metrics', workload: 'W-metrics' },
  ],
  latency: [
    { ...F4, name: 'closed loop' },
    { ...F4, name: 'half load', rate: { share: 0.5 } },
    { ...F4, name: '90 % load', rate: { share: 0.9 } },
  ],
  node: [{ ...F4, name: '20,000 a second', rate: 20_000, dist: true }],
};

/** The flags of one run; what a scenario fixes cannot be given beside it. */
export interface CaseFlags {
  scenario?: string | undefined;
  levels?: string | undefined;
  workload?: string | undefined;
  batch?: string | undefined;
  rate?: string | undefined;
  dist?: boolean | undefined;
}

/** The cases a run's flags ask for. Throws an Error that says what may stand there. */
export function casesOf(flags: CaseFlags): readonly Case[] {
  const { scenario, levels = 'F0,F3,F4', workload = 'W-std', batch, rate = '0', dist = false } = flags;
  if (scenario !== undefined) {
    const beside = Object.entries(flags).find(([name, value]) => name !== 'scenario' && value !== undefined);
    if (beside !== undefined) throw new Error(`--scenario fixes --${beside[0]}: leave one of them out`);
    return SCENARIOS[known(scenario, Object.keys(SCENARIOS), 'scenario')] ?? [];
  }
  const chosen = known(workload, WORKLOADS, 'workload');
  const cases = levels.split(',').map((name) => {
    const level = known(name, LEVELS, 'level');
    if (level === 'naive' && !NAIVE_WORKLOADS.includes(chosen))
      throw new Error(`naive takes uncompressed traces alone: one of ${NAIVE_WORKLOADS.join(', ')}`);
    return {
      name,
      level,
      workload: chosen,
      batch: batch === undefined ? null : Number(batch),
      rate: Number(rate),
      dist,
    };
  });
  return cases;
}

const NAIVE_WORKLOADS: readonly Workload[] = ['W-std', 'W-small', 'W-heavy'];

function known<Name extends string>(name: string, names: readonly Name[], what: string): Name {
  const found = names.find((one) => one === name);
  if (found === undefined) throw new Error(`unknown ${what} "${name}": one of ${names.join(', ')}`);
  return found;
}
