/**
 * From the true crossing to the event at a sink: scripted breaches of contracts of their own, under a steady background load.
 *
 * A contract here judges a window of one second with `for: 0s`: it is crossed when the second ends in which the bad spans were answered
 * 200. The event is there when its line has come out of the console sink.
 *
 *   node bench/breaches.ts [--breaches 50] [--load 20000]        --load: spans a second beside; half of what `npm run bench` finds
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { requestType } from '../src/otlp/schema.ts';
import { startNode } from './child.ts';
import { createPayloads } from './payloads.ts';
import { createRandom } from './random.ts';

const { values } = parseArgs({
  options: { breaches: { type: 'string', default: '50' }, load: { type: 'string', default: '20000' } },
});
const BREACHES = Number(values.breaches);
const LOAD = Number(values.load);
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const SPACING_MS = 400;
const HEALTHY_MS = 3000;
const PATIENCE_MS = 10_000;

const folder = mkdtempSync(join(tmpdir(), 'plumbline-breaches-'));
mkdirSync(join(folder, 'contracts'));
for (let i = 0; i < BREACHES; i++) writeFileSync(join(folder, `contracts/${i}.yaml`), contractOf(i));
writeFileSync(join(folder, 'agent.yaml'), configOf());
const agent = startNode(null, [MAIN, 'run', '--config', join(folder, 'agent.yaml')]);
const [, url = ''] = await agent.line(/ready ingest=(\S+)/);
const background = load(url);
const random = createRandom(50);
const latencies: number[] = [];
await Promise.all(
  Array.from({ length: BREACHES }, async (_, i) => {
    await sleep(1000 + i * SPACING_MS);
    await send(i, false);
    // At any moment of a second.
    await sleep(HEALTHY_MS + random.below(1000));
    const answeredMs = await send(i, true);
    const crossedMs = Math.ceil(answeredMs / 1000) * 1000;
    const line = agent.line(new RegExp(`service-of-breach-${i}  .*-> breached`)).then(() => Date.now());
    const seenMs = await Promise.race([line, sleep(PATIENCE_MS).then(() => null)]);
    if (seenMs !== null) latencies.push(seenMs - crossedMs);
  }),
);
const sent = await background.stop();
await agent.stop(30_000);
rmSync(folder, { recursive: true, force: true });
latencies.sort((a, b) => a - b);
const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))];
console.log(
  `${latencies.length} of ${BREACHES} breaches seen beside ${Math.round(sent)} spans/s; crossing to event: median ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${latencies.at(-1)} ms`,
);
process.exitCode = latencies.length === BREACHES ? 0 : 1;

function contractOf(i: number): string {
  return `contract: v1
service: service-of-breach-${i}
signals: [{ name: errors, of: spans, bad: { status: error }, breached: above 50%, min_items: 5 }]
window: 1s
for: 0s
no_data: ignore
`;
}

function configOf(): string {
  return `agent: { data_dir: ${folder}, log_level: error, shutdown: { serve_on: 0s } }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
contracts: [contracts/*.yaml]
processors: [{ type: summarize }, { type: detect }, { type: sample, wait: 1s }]
sinks:
  - { type: console, subscribe: [events] }
  - { type: storage, subscribe: [sampled], directory: ${folder}/storage }
`;
}

/** Ten spans of a service; resolves with when they were answered. */
async function send(i: number, bad: boolean): Promise<number> {
  const type = requestType('traces');
  const nowNs = String(BigInt(Date.now()) * 1_000_000n);
  const spans = Array.from({ length: 10 }, (_, n) => ({
    traceId: Buffer.from(Array.from({ length: 16 }, () => random.below(255) + 1)),
    spanId: Buffer.from(Array.from({ length: 8 }, () => random.below(255) + 1)),
    name: `operation ${n}`,
    startTimeUnixNano: nowNs,
    endTimeUnixNano: nowNs,
    status: { code: bad ? 2 : 0 },
  }));
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: `service-of-breach-${i}` } }] };
  const body = Buffer.from(
    type.encode(type.fromObject({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })).finish(),
  );
  await post(url, body);
  return Date.now();
}

async function post(to: string, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/x-protobuf' };
  const { status } = await fetch(`${to}/v1/traces`, { method: 'POST', headers, body });
  if (status !== 200) throw new Error(`answered ${status}`);
}

/** Sends LOAD spans a second; `stop` says how many it were. */
function load(to: string) {
  const payloads = createPayloads({ workload: 'W-std', seed: 9 });
  const startedMs = Date.now();
  let going = true;
  let sent = 0;
  const run = (async () => {
    for (let n = 0; going && LOAD > 0; n++) {
      const payload = payloads[n % payloads.length];
      if (payload === undefined) return;
      const dueMs = startedMs + (sent / LOAD) * 1000;
      if (dueMs > Date.now()) await sleep(dueMs - Date.now());
      const body = Buffer.from(payload.bytes);
      payload.patch(body, n + 1, BigInt(Date.now()) * 1_000_000n);
      await post(to, body);
      sent += payload.items;
    }
  })();
  return {
    async stop(): Promise<number> {
      going = false;
      await run;
      return (sent * 1000) / (Date.now() - startedMs);
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
