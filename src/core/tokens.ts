/**
 * Bearer tokens: reads a file of them, one a line, and knows a token again without keeping or comparing its text. What else stands on a
 * line is the caller's.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AgentError, messageOf } from './errors.ts';

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** `key`: what names the file, a key of the configuration or an option. Throws CONFIG_INVALID with it. */
export function readTokenText(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new AgentError('CONFIG_INVALID', `${key}: ${messageOf(cause)}`, { cause });
  }
}

/**
 * What `keep` makes of each token and the words behind it; a text that it answers is the line's fault. Empty lines and lines that begin
 * with # are none. Throws CONFIG_INVALID with every fault's line, behind `where`; a token is never named.
 */
export function parseTokenLines<Kept extends object>(
  text: string,
  where: string,
  keep: (token: string, options: string[], line: number) => Kept | string,
): Kept[] {
  const faults: string[] = [];
  const kept = text.split(/\r?\n/).flatMap((line, index) => {
    const [token = '', ...options] = line.trim().split(/\s+/);
    if (token === '' || token.startsWith('#')) return [];
    const one = TOKEN.test(token)
      ? keep(token, options, index + 1)
      : 'a token consists of letters, digits and ._~+/- (and = at its end)';
    if (typeof one !== 'string') return [one];
    faults.push(`${where}:${index + 1}: ${one}`);
    return [];
  });
  if (kept.length === 0 && faults.length === 0) faults.push(`${where}: no token in it: write at least one, one a line`);
  if (faults.length > 0) throw new AgentError('CONFIG_INVALID', faults.join('\n'));
  return kept;
}

export function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}

/** The entry of an Authorization header's token, or null. Takes as long for a wrong token as for a right one. */
export function findByToken<Entry extends { digest: Buffer }>(
  entries: readonly Entry[],
  authorization: string | undefined,
): Entry | null {
  const presented = digestOf(BEARER.exec(authorization ?? '')?.[1] ?? '');
  let found: Entry | null = null;
  // All are compared, whether or not one was found.
  for (const entry of entries) if (timingSafeEqual(entry.digest, presented)) found = entry;
  return found;
}
