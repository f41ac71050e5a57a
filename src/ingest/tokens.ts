/**
 * Who sends, by bearer token: what a line of the file says of a client, and its quota. core/tokens.ts knows the tokens.
 *
 *   TOKEN [name=payments] [signals=traces,logs] [quota=20MiB/s]      # one a line; empty lines and lines that begin with # are none
 */
import { SIGNALS, type Signal } from '../core/block.ts';
import { digestOf, findByToken, parseTokenLines } from '../core/tokens.ts';
import { parseBytesPerSecond } from '../core/units.ts';

/** Who sends: a token's name or a remote address. Its `name` is what fair shares go by. */
export interface Client {
  name: string;
  signals: ReadonlySet<Signal>;
  quota: Quota | null;
}

export interface Quota {
  /** Bytes a second. */
  rate: number;
  /** Bytes it may send at once; below zero it is in debt for a body that was larger. */
  level: number;
  filledMs: number;
}

export interface Tokens {
  /** The client of an Authorization header, or null. Takes as long for a wrong token as for a right one. */
  find(authorization: string | undefined): Client | null;
}

interface Entry {
  digest: Buffer;
  client: Client;
}

export const ALL_SIGNALS: ReadonlySet<Signal> = new Set(SIGNALS);

/** Throws CONFIG_INVALID with every fault's line; a token is never named. */
export function parseTokens(text: string, file: string): Tokens {
  const entries = parseTokenLines(text, file, parseEntry);
  shareQuotas(entries);
  return { find: (authorization) => findByToken(entries, authorization)?.client ?? null };
}

/** Tokens of one name are one client, while it changes from the old one to the new: they use up one quota, the first that is named. */
function shareQuotas(entries: readonly Entry[]): void {
  const byName = new Map<string, Quota>();
  for (const { client } of entries)
    if (client.quota !== null && !byName.has(client.name)) byName.set(client.name, client.quota);
  for (const { client } of entries) client.quota = byName.get(client.name) ?? null;
}

function parseEntry(token: string, options: readonly string[], line: number): Entry | string {
  const client: Client = { name: `line ${line}`, signals: ALL_SIGNALS, quota: null };
  for (const option of options) {
    const [key, value = ''] = splitOnce(option);
    if (key === 'name' && value !== '') client.name = value;
    else if (key === 'signals') {
      const signals = value.split(',');
      const wrong = signals.find((signal) => !SIGNALS.some((known) => known === signal));
      if (wrong !== undefined) return `signals are ${SIGNALS.join(', ')}; found "${wrong}"`;
      client.signals = new Set(SIGNALS.filter((signal) => signals.includes(signal)));
    } else if (key === 'quota') {
      const rate = parseBytesPerSecond(value);
      if (rate === undefined || rate <= 0) return `a quota is a size and a time, such as 20MiB/s; found "${value}"`;
      client.quota = { rate, level: rate, filledMs: 0 };
    } else return `options are name=, signals= and quota=; found "${key}"`;
  }
  return { digest: digestOf(token), client };
}

function splitOnce(option: string): [string, string?] {
  const at = option.indexOf('=');
  return at < 0 ? [option] : [option.slice(0, at), option.slice(at + 1)];
}

/** Charges a client for a body; false when its quota is used up. A body may take it into debt, so that a large one can pass at all. */
export function charge(quota: Quota, bytes: number, nowMs: number): boolean {
  quota.level = Math.min(quota.rate, quota.level + (quota.rate * Math.max(0, nowMs - quota.filledMs)) / 1000);
  quota.filledMs = nowMs;
  if (quota.level <= 0) return false;
  quota.level -= bytes;
  return true;
}

/** Seconds until the quota is out of debt; at least 1. */
export function quotaRetryAfterS(quota: Quota): number {
  return Math.max(1, Math.ceil(-quota.level / quota.rate));
}
