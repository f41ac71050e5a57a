/** `plumbline version`: which agent on which Node. */
import { agentVersion } from '../core/version.ts';
import type { Context } from './context.ts';

export async function version(_args: string[], context: Context): Promise<number> {
  context.stdout(`plumbline ${agentVersion()} (Node ${process.version})\n`);
  return 0;
}
