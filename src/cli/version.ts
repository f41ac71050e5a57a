/** `plumbline version`: which agent on which Node. */
import { parseArgs } from 'node:util';
import { agentVersion } from '../core/version.ts';
import type { Context } from './context.ts';

export async function version(args: string[], context: Context): Promise<number> {
  parseArgs({ args, options: {} });
  context.stdout(`plumbline ${agentVersion()} (Node ${process.version})\n`);
  return 0;
}
