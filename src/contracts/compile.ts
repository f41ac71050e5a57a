/** Contracts as a worker holds them: conditions compiled, signals by what they are about. */
import { type Lookup, lookupOf, type Sight } from './lookup.ts';
import { type Condition, compileConditions } from './match.ts';
import type { ContractPlan, SignalPlan } from './plan.ts';

/** A signal over spans or log records, compiled. */
export interface Signal {
  /** Of the signal within its contract: added to the contract's first cell. */
  index: number;
  where: Condition[];
  bad: Condition[][];
  slowerThanNs: number;
  /** Shares and silences are counted, values taken. */
  takes: boolean;
  /** `duration`, or a lookup; of what takes. */
  ofDuration: boolean;
  value: Lookup | null;
  spreads: boolean;
}

export interface Contract {
  plan: ContractPlan;
  where: Condition[];
  spans: Signal[];
  logs: Signal[];
  per: Buffer | null;
  /** Of the task: hashes of the instances seen, and their first cells. */
  groups: number[];
  bases: number[];
}

export function compileContract(plan: ContractPlan, sight: Sight): Contract {
  const of = (kind: SignalPlan['of']) =>
    plan.signals.flatMap((signal, index) => (signal.of === kind ? [compileSignal(signal, index, sight)] : []));
  return {
    plan,
    where: plan.where === null ? [] : compileConditions(plan.where, sight),
    spans: of('spans'),
    logs: of('logs'),
    per: plan.per === null ? null : Buffer.from(plan.per),
    groups: [],
    bases: [],
  };
}

function compileSignal(plan: SignalPlan, index: number, sight: Sight): Signal {
  return {
    index,
    where: plan.where === null ? [] : compileConditions(plan.where, sight),
    bad: plan.bad.map((map) => compileConditions(map, sight)),
    slowerThanNs: plan.slowerThanMs === null ? Infinity : plan.slowerThanMs * 1e6,
    takes: plan.measured === 'take',
    ofDuration: plan.value === 'duration',
    value: plan.value === null || plan.value === 'duration' ? null : lookupOf(plan.value, sight),
    spreads: plan.quantile !== null,
  };
}
