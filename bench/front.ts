/**
 * The receiver alone, with its fast path and without: bodies are read, copied into shared memory and answered 200; alternating slots.
 *
 *   node bench/front.ts [--workload W-std] [--rounds 4] [--seconds 5] [--connections 8]
 */
import { parseArgs } from 'node:util';
import { BlockPool, copyInto, UNIT_BYTES } from '../src/core/block.ts';
import { createTelemetry } from '../src/core/telemetry.ts';
import { startIngest } from '../src/ingest/server.ts';
import { startNode } from './child.ts';
import type { Workload } from './payloads.ts';
import { LOAD_CORE, loadArguments, measureLoad, NODE_FLAGS, pathOf, SERVER_CORE, STOP_MS } from './slot.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({
  options: {
    serve: { type: 'string' },
    workload: { type: 'string', default: 'W-std' },
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '8' },
  },
});

if (values.serve === undefined) await compare();
else await serve(values.serve === 'fast');

async function serve(fastPath: boolean): Promise<void> {
  const pool = BlockPool.create(32 * UNIT_BYTES);
  const all = Array.from({ length: 8 }, () => pool.allocate(4 * UNIT_BYTES));
  let turn = 0;
  const server = await startIngest({
    endpoint: '127.0.0.1:0',
    paths: { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' },
    maxBodyBytes: 4 * UNIT_BYTES,
    inFlightBytes: 1 << 30,
    waitingBytes: 0,
    pressure: () => null,
    cors: { allowedOrigins: [], allowedHeaders: [], maxAgeS: 0 },
    tls: null,
    tokenFile: null,
    fastPath,
    onNoFastPath: () => console.error('no fast path'),
    onReload: () => {},
    onFault: (error) => console.error(error),
    async submit({ chunks }) {
      let at = all[turn++ % all.length] as number;
      for (const chunk of chunks) {
        copyInto(pool.bytes, at, chunk);
        at += chunk.length;
      }
      return { kind: 'accepted', items: 1, rejected: 0, warned: 0 };
    },
    telemetry: createTelemetry(),
    now: Date.now,
  });
  process.once('SIGTERM', () => process.exit(0));
  console.log(`ready ingest=${server.url} admin=none`);
}

async function compare(): Promise<void> {
  const costs = { node: [] as number[], fast: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    const order = round % 2 === 0 ? (['node', 'fast'] as const) : (['fast', 'node'] as const);
    for (const way of order) {
      const cost = await slot(way);
      costs[way].push(cost);
      console.log(`${round + 1}  ${way}  ${cost.toFixed(3)} CPU-s per M`);
    }
  }
  for (const [way, list] of Object.entries(costs))
    console.log(
      `${way}: ${median(list).toFixed(3)} (${Math.min(...list).toFixed(3)} to ${Math.max(...list).toFixed(3)})`,
    );
}

async function slot(way: 'node' | 'fast'): Promise<number> {
  const server = startNode(SERVER_CORE, [...NODE_FLAGS, pathOf('front.ts'), '--serve', way]);
  const [, url = ''] = await server.line(/^ready ingest=(\S+)/);
  const options = {
    // load.ts says which there are.
    workload: values.workload as Workload,
    seconds: Number(values.seconds),
    warmup: 2,
    connections: Number(values.connections),
    batch: null,
    rate: 0,
    workers: 1,
    dist: false,
    retain: 'none',
    profile: null,
  };
  const load = startNode(LOAD_CORE, loadArguments(options, url));
  const { report, cpuS } = await measureLoad(server, load);
  await server.stop(STOP_MS);
  return (cpuS * 1e6) / report.measured.items;
}
