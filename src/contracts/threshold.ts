/** Thresholds as they are written, "above 5%" or "below 10/s", to a direction and a number. */
import { parseBytes, parseDurationMs, parseShare } from '../core/units.ts';

/** What a signal's value is counted in: a share from 0 to 1, items a second, milliseconds, or whatever the metric counts. */
export type Unit = 'share' | 'per_second' | 'ms' | 'number';

export interface Threshold {
  /** 1: worse when above, -1: worse when below. */
  direction: 1 | -1;
  limit: number;
  unit: Unit;
}

const FORM = /^(above|below|>|<)\s*(\S.*)$/;
const PER_SECOND: Record<string, number> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** Undefined when it is no threshold. */
export function parseThreshold(text: string): Threshold | undefined {
  const match = FORM.exec(text.trim());
  const quantity = match === null ? undefined : parseQuantity((match[2] as string).trim());
  if (match === null || quantity === undefined) return undefined;
  const [word] = match.slice(1) as [string];
  return { direction: word === 'above' || word === '>' ? 1 : -1, ...quantity };
}

function parseQuantity(text: string): Pick<Threshold, 'limit' | 'unit'> | undefined {
  const share = parseShare(text);
  if (share !== undefined) return { limit: share, unit: 'share' };
  const rate = /^(-?\d+(?:\.\d+)?)\s*\/\s*([a-z]+)$/.exec(text);
  if (rate !== null) {
    const seconds = Object.hasOwn(PER_SECOND, rate[2] as string) ? PER_SECOND[rate[2] as string] : undefined;
    return seconds === undefined ? undefined : { limit: Number(rate[1]) / seconds, unit: 'per_second' };
  }
  if (/^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/.test(text)) return { limit: Number(text), unit: 'number' };
  const ms = parseDurationMs(text);
  if (ms !== undefined) return { limit: ms, unit: 'ms' };
  const bytes = parseBytes(text);
  return bytes === undefined ? undefined : { limit: bytes, unit: 'number' };
}

/** Whether a value is on the wrong side of a limit. */
export function isOver({ direction }: Pick<Threshold, 'direction'>, value: number, limit: number): boolean {
  return direction > 0 ? value > limit : value < limit;
}

/** What to write for a value of this unit: the way out of a fault's message. */
export const EXAMPLES: Record<Unit, string> = {
  share: '"above 5%"',
  per_second: '"below 10/s"',
  ms: '"above 300ms"',
  number: '"above 1000"',
};

/** Pairs of windows and the burn rate that is too fast in both; the SRE Workbook's, for pages. */
export const BURN_PAIRS = [
  { longMs: 3_600_000, shortMs: 300_000, factor: 14.4 },
  { longMs: 21_600_000, shortMs: 1_800_000, factor: 6 },
] as const;
