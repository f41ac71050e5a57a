/**
 * What open traces cost in memory: the agent under the same load with `wait: 0s` and with a wait in which that many traces are open, in turns.
 * Both have the same trace table; what differs is what is open in it, and how far the selection trails.
 *
 *   node bench/openTraces.ts [--traces 100000] [--load 20000] [--rounds 2] [--budget]         --load: spans a second
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startNode } from './child.ts';
import { createPayloads } from './payloads.ts';
import { SPANS_PER_TRACE } from './shapes.ts';

const { values } = parseArgs({
  options: {
    traces: { type: 'string', default: '100000' },
    load: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '2' },
    budget: { type: 'boolean', default: false },
  },
});
const TRACES = Number(values.traces);
const LOAD = Number(values.load);
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const WAIT_S = Math.ceil((TRACES * SPANS_PER_TRACE) / LOAD);
/** Once as many are open as there will be. */
const STEADY_S = 10;
const SAMPLES = 10;

const rss: Record<string, number[]> = { '0s': [], [`${WAIT_S}s`]: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  const order = Object.keys(rss);
  for (const wait of round % 2 === 0 ? order : order.reverse()) {
    const mib = await measure(wait);
    rss[wait]?.push(mib);
    console.log(`wait ${wait.padStart(4)}: RSS ${mib.toFixed(1)} MiB`);
  }
}
const [none, open] = Object.values(rss).map(median) as [number, number];
const difference = open - none;
console.log(
  `${TRACES} open traces at ${LOAD} spans/s (wait ${WAIT_S} s): ${open.toFixed(1)} MiB, wait 0: ${none.toFixed(1)} MiB, ${difference.toFixed(1)} MiB more; the table has 32 bytes a trace`,
);

async function measure(wait: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-open-'));
  writeFileSync(join(folder, 'agent.yaml'), configOf(folder, wait));
  const agent = startNode(null, [MAIN, 'run', '--config', join(folder, 'agent.yaml')]);
  try {
    const [, url = ''] = await agent.line(/ready ingest=(\S+)/);
    const samples: number[] = [];
    await send(url, (WAIT_S + STEADY_S) * 1000, (elapsedMs) => {
      if (elapsedMs >= WAIT_S * 1000 + (samples.length * STEADY_S * 1000) / SAMPLES) samples.push(rssMib(agent.pid));
    });
    return median(samples);
  } finally {
    await agent.stop(60_000);
    rmSync(folder, { recursive: true, force: true });
  }
}

function configOf(folder: string, wait: string): string {
  const budget = values.budget ? ', budget: 200MiB/min' : '';
  return `agent: { data_dir: ${folder}, log_level: error, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
processors: [{ type: sample, wait: ${wait}, traces: ${Math.max(262_144, TRACES * 2)}${budget} }]
sinks: [{ type: storage, subscribe: [sampled], directory: ${folder}/storage }]
`;
}

async function send(url: string, forMs: number, look: (elapsedMs: number) => void): Promise<void> {
  const payloads = createPayloads({ workload: 'W-std', seed: 11 });
  const startedMs = Date.now();
  let sent = 0;
  for (let n = 0; Date.now() - startedMs < forMs; n++) {
    const payload = payloads[n % payloads.length];
    if (payload === undefined) return;
    const dueMs = startedMs + (sent / LOAD) * 1000;
    if (dueMs > Date.now()) await new Promise((resolve) => setTimeout(resolve, dueMs - Date.now()));
    const body = Buffer.from(payload.bytes);
    payload.patch(body, n + 1, BigInt(Date.now()) * 1_000_000n);
    const headers = { 'content-type': 'application/x-protobuf' };
    const { status } = await fetch(`${url}${payload.path}`, { method: 'POST', headers, body });
    if (status !== 200) throw new Error(`answered ${status}: the load is too high for this machine`);
    sent += payload.items;
    look(Date.now() - startedMs);
  }
  const rate = (sent * 1000) / (Date.now() - startedMs);
  if (rate < LOAD * 0.95) console.log(`  only ${Math.round(rate)} spans/s came through`);
}

function rssMib(pid: number): number {
  const kib = /VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kib ?? 0) / 1024;
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
}
