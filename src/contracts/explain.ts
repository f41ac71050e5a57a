/** Notes, on main, what data points show: the names of their series, how much each has of what is bad, traces of points over the limit. */
import type { Target } from './memory.ts';
import type { PointSource, PointText } from './pointText.ts';
import { MOST_TRACES } from './rows.ts';
import { type MeasuredPoint, Point } from './series.ts';
import type { Step } from './steps.ts';
import { isOver } from './threshold.ts';

/** A point, and what it added to its series. */
interface Explained {
  target: Target;
  receivedMs: number;
  measured: MeasuredPoint;
  /** Null: nothing. */
  step: Step | null;
  source: PointSource;
  /** What the metric's numbers are multiplied by to be in the signal's unit. */
  unit: number;
  texts: PointText;
}

export function explainPoint(explained: Explained): void {
  const { target, receivedMs, measured, step, source, texts } = explained;
  const { plan, memory, evidence } = target;
  const series = memory.series?.all.get(measured.series);
  if (series === undefined) return;
  series.name ??= texts.nameOf(source);
  if (step === null) return;
  if (plan.measured === 'share' || plan.measured === 'burn') {
    const name = series.name;
    evidence.addOperation(receivedMs, measured.series, step.a, step.b, () => ({ name, version: '' }));
  }
  if (source.exemplarsFrom < 0) return;
  const shows = offenceOf(explained, step);
  if (shows === null) return;
  // What a cumulative point repeats was told with the point before.
  const afterMs = measured.timeMs - step.coveredMs;
  for (const id of texts.tracesOf(source, afterMs, MOST_TRACES, shows)) evidence.addTrace(receivedMs, id);
}

/** Which exemplars, by their values, are of what is wrong with the point; null when nothing is. */
function offenceOf({ target, measured, unit }: Explained, step: Step): ((value: number) => boolean) | null {
  const { plan } = target;
  const any = () => true;
  switch (plan.measured) {
    case 'share':
    case 'burn': {
      const { slowerThanMs } = plan;
      if (step.b <= 0) return null;
      return slowerThanMs === null ? any : (value) => value * unit > slowerThanMs;
    }
    case 'take': {
      const limit = plan.degraded ?? plan.breached;
      if ((measured.flags & Point.distribution) !== 0) return (value) => isOver(plan, value * unit, limit);
      return isOver(plan, step.a, limit) ? any : null;
    }
    case 'rate':
      // Too few of them leave no trace.
      return plan.direction > 0 && step.a > 0 ? any : null;
    case 'silence':
      return null;
    default:
      return plan.measured satisfies never;
  }
}
