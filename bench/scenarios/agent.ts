/** The agent under a scenario: a child process with a configuration, its memory and its ledger. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, startNode } from '../child.ts';
import { NODE_FLAGS } from '../slot.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const STOP_MS = 60_000;

export interface Subject {
  url: string;
  child: Child;
  residentBytes(): number;
  /** The most since it was last asked. */
  peakBytes(): number;
  ledger(): Promise<{ received: number; journalled: number; rejected: number }>;
  stop(): Promise<void>;
}

/** Starts it with one worker, the journal durable and the raw data archived; `ingest` is merged into the section of that name. */
export async function startSubject(ingest: object, files: Record<string, string> = {}): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-scenario-'));
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), text.replaceAll('DIR', directory));
  const config = {
    agent: {
      id: 'scenario',
      data_dir: directory,
      workers: 1,
      log_level: 'warn',
      shutdown: { serve_on: '0s', grace: '30s' },
    },
    admin: { endpoint: '127.0.0.1:0' },
    ingest,
    processors: [{ type: 'summarize' }, { type: 'sample', wait: '1s', base: '10%' }],
    sinks: [
      {
        type: 'storage',
        subscribe: ['raw'],
        directory: join(directory, 'archive'),
        compression: 'none',
        // Ten minutes of full load would fill a disk.
        retain: { size: '4GiB', age: 'none' },
      },
    ],
  };
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, JSON.stringify(config).replaceAll('DIR', directory));
  const child = startNode(0, [...NODE_FLAGS, MAIN, 'run', '--config', file]);
  const [, url = '', admin = ''] = await child.line(/ready ingest=(\S+) admin=(\S+)/);
  const residentBytes = () =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  let peak = residentBytes();
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes());
  }, 20);
  return {
    url,
    child,
    residentBytes,
    peakBytes() {
      const most = Math.max(peak, residentBytes());
      peak = 0;
      return most;
    },
    async ledger() {
      const status = (await (await fetch(`${admin}/status`)).json()) as {
        ledger: { traces: { received: number; journalled: number; rejected: number } };
      };
      return status.ledger.traces;
    },
    async stop() {
      clearInterval(watch);
      await child.stop(STOP_MS);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
