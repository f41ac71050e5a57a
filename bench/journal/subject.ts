/** The agent under a bench of its journal: raw data to a Kafka that may be dead, nothing else. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, startNode } from '../child.ts';
import { NODE_FLAGS } from '../slot.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
export const LOAD = fileURLToPath(new URL('../load.ts', import.meta.url));
export const LIGHT_KAFKA = fileURLToPath(new URL('../lightKafka.ts', import.meta.url));
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

export interface Status {
  agent: { durability: string; journal_mode: string };
  ledger: { traces: { received: number } };
  journal: { bytes: number; sync_ms_p99: number };
  sinks: Record<string, { lag_bytes: number; lag_items: number; state: string }>;
}

export interface Subject {
  child: Child;
  url: string;
  status(): Promise<Status>;
  residentMb(): number;
}

export function benchDirectory(): { directory: string; remove(): void } {
  const directory = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'plumbline-journal-'));
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** `broker`: `HOST:PORT`, or null for no sink at all. */
export async function startSubject(directory: string, journal: object, broker: string | null): Promise<Subject> {
  const config = {
    agent: {
      id: 'bench',
      data_dir: directory,
      workers: 1,
      log_level: 'error',
      shutdown: { serve_on: '0s', grace: '60s' },
    },
    admin: { endpoint: '127.0.0.1:0' },
    ingest: { http: { endpoint: '127.0.0.1:0' } },
    journal,
    processors: [{ type: 'summarize' }],
    sinks:
      broker === null
        ? []
        : [
            {
              type: 'kafka',
              brokers: [broker],
              subscribe: { raw: 'otlp_{signal}' },
              compression: 'none',
              retry: { max: '1s' },
            },
          ],
  };
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, JSON.stringify(config));
  const child = startNode(SERVER_CORE, [...NODE_FLAGS, MAIN, 'run', '--config', file]);
  const [, url = '', admin = ''] = await child.line(/ready ingest=(\S+) admin=(\S+)/);
  return {
    child,
    url,
    status: async () => (await (await fetch(`${admin}/status`)).json()) as Status,
    residentMb: () =>
      (Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024) / 1e6,
  };
}
