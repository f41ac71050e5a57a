/** Values, limits and reasons in words for people: events, /contracts and `check` say them alike. */
import { formatDuration } from '../core/units.ts';
import type { SignalPlan } from './plan.ts';
import { isOver } from './threshold.ts';

/** 0.0712 is "7.12%", 0.25 a second "0.25/s", 90000 ms "1m30s". */
export function formatValue(plan: Pick<SignalPlan, 'measured' | 'unit'>, value: number): string {
  if (plan.measured === 'burn') return `${Number(value.toPrecision(3))} times what is too fast`;
  switch (plan.unit) {
    case 'share':
      return formatShare(value);
    case 'per_second':
      return `${Number(value.toPrecision(4))}/s`;
    case 'ms':
      return value < 10 && value > 0 ? `${Number(value.toPrecision(3))}ms` : formatDuration(value);
    case 'number':
      return String(Number(value.toPrecision(6)));
    default:
      return plan.unit satisfies never;
  }
}

export function formatShare(share: number): string {
  const percent = share * 100;
  return `${share < 0.1 ? Number(percent.toPrecision(3)) : percent.toFixed(1)}%`;
}

/** What the value is of: "of 812 items bad", "p95 of duration". */
function describeMeasure(plan: SignalPlan, items: number): string {
  const count = `${Math.round(items)} ${plan.of === 'metrics' ? 'counted' : items === 1 ? 'item' : 'items'}`;
  switch (plan.measured) {
    case 'share':
      return `of ${count} ${plan.slowerThanMs === null ? 'bad' : `slower than ${formatDuration(plan.slowerThanMs)}`}`;
    case 'burn':
      return `burns the budget of ${formatShare(plan.budget ?? 0)}, of ${count}`;
    case 'rate':
      return `${plan.value === 'sum' ? 'in sum' : 'come'}`;
    case 'take':
      return `is the ${plan.take} of ${plan.metrics[0] ?? plan.value}`;
    case 'silence':
      return 'without an item';
    default:
      return plan.measured satisfies never;
  }
}

/** The limit that a value is over, or would be over next, as written. */
function limitOf(plan: SignalPlan, value: number): string {
  const { degraded, breached } = plan.thresholds;
  return degraded === null || isOver(plan, value, plan.breached) ? breached : degraded;
}

/** Whether there is anything to take the value of: a share of nothing is no number, spans a second of none are 0. */
export function hasValue({ measured, of }: SignalPlan, items: number): boolean {
  return items > 0 || (measured === 'rate' && of !== 'metrics');
}

/** "7.1% of 812 items bad in 1m, limit above 5%" */
export function whyOf(plan: SignalPlan, value: number, items: number): string {
  const over = plan.measured === 'silence' || plan.measured === 'burn' ? '' : ` in ${formatDuration(plan.windowMs)}`;
  if (!hasValue(plan, items)) return `nothing came${over}, limit ${limitOf(plan, value)}`;
  return `${formatValue(plan, value)} ${describeMeasure(plan, items)}${over}, limit ${limitOf(plan, value)}`;
}
