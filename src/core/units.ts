/** "200ms", "4MiB", "20MiB/min", "5%" to numbers: the only place that knows how units are spelt. */

const DURATIONS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZES: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

function parse(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([a-zA-Z]+)$/.exec(text.trim());
  const unit = match !== null && Object.hasOwn(units, match[2] as string) ? units[match[2] as string] : undefined;
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** "200ms" is 200; milliseconds, or undefined when it is no duration. */
export function parseDurationMs(text: string): number | undefined {
  return text.trim() === '0' ? 0 : parse(text, DURATIONS);
}

/** What timers take; longer ones end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The same for a timer, which lasts 24 days at most: whoever asks for more means hardly ever. */
export function parseTimerMs(text: string): number | undefined {
  const ms = parseDurationMs(text);
  return ms === undefined ? undefined : Math.min(ms, LONGEST_TIMER_MS);
}

/** "4MiB" is 4194304; bytes, or undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const bytes = parse(text, SIZES);
  return bytes === undefined ? undefined : Math.round(bytes);
}

/** "5%" is 0.05; or undefined when it is no share. */
export function parseShare(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text.trim());
  if (match === null) return undefined;
  // The double nearest to it, as of 7 in 1000: 0.7 / 100 is one below.
  const share = Number(`${match[1]}e-2`);
  return share <= 1 ? share : undefined;
}

/** "20MiB/min" in bytes per second; or undefined when it is no rate. */
export function parseBytesPerSecond(text: string): number | undefined {
  const [size, per] = text.split('/');
  const seconds = per === 's' ? 1 : per === 'min' || per === 'm' ? 60 : per === 'h' ? 3600 : undefined;
  const bytes = parseBytes(size ?? '');
  return bytes === undefined || seconds === undefined ? undefined : bytes / seconds;
}

/** The same of texts that a schema has let pass. */
export const millisecondsOf = (text: string) => passed(text, parseDurationMs);
export const bytesOf = (text: string) => passed(text, parseBytes);
export const shareOf = (text: string) => passed(text, parseShare);
export const bytesPerSecondOf = (text: string) => passed(text, parseBytesPerSecond);

function passed(text: string, parse: (text: string) => number | undefined): number {
  const value = parse(text);
  if (value === undefined) throw new RangeError(`"${text}" has passed a schema that has no such format`);
  return value;
}

/** 90000 is "1m30s": for messages people read. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60 === 0 ? '' : `${seconds % 60}s`}`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60) === 0 ? '' : `${Math.floor((seconds % 3600) / 60)}m`}`;
}
