/** What in a contract's examples could never come out as it is meant: statuses, kinds, severities, durations and shares that are none. */
import { millisecondsOf, parseDurationMs, parseShare } from '../core/units.ts';
import { conditionFaults, severityFault } from './conditionFaults.ts';
import { INTRINSICS_OF } from './contract.ts';
import { type Example, METRIC_EVERY, SPREAD_OVER } from './example.ts';
import type { ContractFault, SignalPlan } from './plan.ts';

type Path = (string | number)[];
type Values = NonNullable<Extract<Example['spans'], { set?: unknown }>['set']>;

/** Of one example, which stands at `path`. */
export function exampleFaults(example: Example, path: Path): ContractFault[] {
  return (['spans', 'logs', 'metrics'] as const).flatMap((of) => {
    const written = example[of] ?? [];
    return [written].flat().flatMap((part, i) => {
      const at = [...path, of, ...(Array.isArray(written) ? [i] : [])];
      const varied = Object.entries(part.vary ?? {});
      return [
        ...valueFaults(part.set ?? {}, of, [...at, 'set']),
        ...varied.flatMap(([share, values]) => valueFaults(values, of, [...at, 'vary', share])),
        ...shareFaults(
          varied.map(([share]) => share),
          [...at, 'vary'],
        ),
        ...('name' in part ? exportFaults(part, at) : []),
      ];
    });
  });
}

function valueFaults(values: Values, of: SignalPlan['of'], path: Path): ContractFault[] {
  const { duration, value, severity } = values;
  const own = Object.entries(values).filter(([key]) => INTRINSICS_OF.get(key) === of && key !== 'severity');
  const faults = conditionFaults(Object.fromEntries(own), of, path);
  if (of === 'logs' && typeof severity === 'string')
    faults.push({ path: [...path, 'severity'], message: severityFault(severity, String) });
  if (of === 'spans' && duration !== undefined && parseDurationMs(String(duration)) === undefined)
    faults.push({
      path: [...path, 'duration'],
      message: `"${duration}" is no duration: write for example 200ms or 2s`,
    });
  if (of === 'metrics' && value !== undefined && typeof value !== 'number')
    faults.push({ path: [...path, 'value'], message: `the value of a metric is a number, found "${value}"` });
  return faults;
}

function shareFaults(shares: readonly string[], path: Path): ContractFault[] {
  const sum = shares.reduce((all, share) => all + (parseShare(share) ?? Infinity), 0);
  // Rounded, so that ten times 10% is all.
  if (Number(sum.toPrecision(12)) <= 1) return [];
  return [{ path, message: `${shares.join(' and ')} is more than all of them` }];
}

function exportFaults({ every = METRIC_EVERY, over = SPREAD_OVER }: { every?: string; over?: string }, path: Path) {
  if (millisecondsOf(every) <= millisecondsOf(over)) return [];
  return [{ path, message: `no point comes: it is exported every ${every}, over ${over}` }];
}
