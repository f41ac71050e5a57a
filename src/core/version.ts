/** Name and version of this agent, as package.json says them. */
import { readFileSync } from 'node:fs';

/** Such as "0.1.0". The file lies two folders up from src/core and from dist/core alike. */
export function agentVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  // Our own file, whose form npm has checked.
  return (JSON.parse(text) as { version: string }).version;
}
