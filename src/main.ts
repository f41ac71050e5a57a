#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=4 --initial-old-space-size=20 --heap-growing-percent=40 --external-memory-accounted-in-global-limit --max-inlined-bytecode-size=1000 --max-inlined-bytecode-size-cumulative=3000
/** The command line's door: runs one command and leaves with its exit status. */
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Beside the code, so that it is trusted as the code is; where that cannot be written to, starts only take longer.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/plumbline', import.meta.url)));
const { runCommand } = await import('./cli/commands.ts');
const { processContext } = await import('./cli/context.ts');
const status = await runCommand(process.argv.slice(2), processContext());
// Not before what was said is written: into a pipe that takes a while.
process.stdout.write('', () => leave(status));

/** process.exit waits for what was asked of files, on a disk that hangs for ever: then another program takes the place of this, and leaves. */
function leave(status: number): void {
  const isWaiting = process.getActiveResourcesInfo().some((one) => one.startsWith('FSReq'));
  if (isWaiting) process.execve?.(process.execPath, [process.execPath, '-e', `process.exit(${status})`], {});
  process.exit(status);
}
