/**
 * The classes of a trace, as numbers of which the higher outdoes the lower, and what is configured for each. docs/sampling.md says what
 * they mean.
 */
import type { ContractPlan } from '../../contracts/plan.ts';
import { bytesPerSecondOf, shareOf } from '../../core/units.ts';
import { MOST_RULES, type SampleConfig } from './config.ts';

export const BASE = 0;
/** 16 rules: the first of the list has the highest number. */
const FIRST_RULE = 1;
/** sampling.priority: 0, and above. */
export const UNWANTED = 17;
export const WANTED = 18;
export const RARE = 19;
export const ANOMALOUS = 20;
/** 8 shares that contracts may ask for: the largest has the highest number. */
const BREACH = 21;
const MOST_BREACH_SHARES = 8;
export const SLOW = 29;
export const ERROR = 30;
export const CLASS_COUNT = 31;

/** What stands in `plumbline.kept`. */
type Kept = 'base' | 'rare' | 'anomalous' | 'breach' | 'slow' | 'error';

/** A class as it is configured: names and share. Those that nothing is configured for are null. */
export interface TraceClass {
  kept: Kept;
  /** The rule's name, or null. */
  rule: string | null;
  share: number;
}

/** By number. */
export function classesOf(given: SampleConfig, contracts: readonly ContractPlan[]): (TraceClass | null)[] {
  const { base, keep, rules } = given;
  const classes = new Array<TraceClass | null>(CLASS_COUNT).fill(null);
  const set = (number: number, kept: Kept, share: string | number, rule: string | null = null) => {
    classes[number] = { kept, rule, share: typeof share === 'number' ? share : shareOf(share) };
  };
  set(BASE, 'base', base);
  rules.forEach((rule, i) => {
    set(ruleClass(i), 'base', rule.keep, rule.name ?? `rule ${i + 1}`);
  });
  set(UNWANTED, 'base', 0);
  set(WANTED, 'base', 1);
  set(RARE, 'rare', keep.rare);
  set(ANOMALOUS, 'anomalous', keep.anomalous);
  breachShares(given, contracts).forEach((share, i) => {
    set(BREACH + i, 'breach', share);
  });
  set(SLOW, 'slow', keep.slow);
  set(ERROR, 'error', keep.error);
  return classes;
}

export function ruleClass(index: number): number {
  return FIRST_RULE + MOST_RULES - 1 - index;
}

/** Shares that contracts ask for while they are broken, within what the node's owner allows, ascending; beyond 8 the smallest are joined. */
function breachShares({ on_breach_max }: SampleConfig, contracts: readonly ContractPlan[]): number[] {
  const most = shareOf(on_breach_max.keep);
  const shares = contracts.map(({ onBreach }) => Math.min(most, onBreach.keep));
  return [...new Set(shares.filter((share) => share > 0))].sort((a, b) => a - b).slice(-MOST_BREACH_SHARES);
}

/** The class of traces through a service whose contract is broken; BASE when the contract asks for nothing. */
export function breachClass(given: SampleConfig, contracts: readonly ContractPlan[], plan: ContractPlan): number {
  const asked = Math.min(shareOf(given.on_breach_max.keep), plan.onBreach.keep);
  if (asked === 0) return BASE;
  const found = breachShares(given, contracts).findIndex((share) => share >= asked);
  return found < 0 ? BASE : BREACH + found;
}

/** Bytes that one slot of `slotMs` may forward; Infinity without a budget. */
export function slotBytes({ budget }: SampleConfig, slotMs: number): number {
  return budget === 'none' ? Infinity : (bytesPerSecondOf(budget) * slotMs) / 1000;
}
