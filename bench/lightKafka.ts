/**
 * A Kafka that only counts: enough of the protocol for producers of kafkajs 2.2.4 and the Collector, every topic exists, acknowledged at once, kept nowhere.
 *
 *   node bench/lightKafka.ts [--port 0] [--partitions 1] [--verify]
 *
 * Prints `ready HOST:PORT`, the totals as one JSON line for each line on stdin, and once more when SIGTERM ends it. --verify reads the
 * records: items by stream and signal, and records that came twice.
 * https://kafka.apache.org/protocol
 */
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { SIGNALS } from '../src/core/block.ts';
import { countItems } from './items.ts';
import { Cursor, Reply } from './kafkaWire.ts';
import { type Batch, readBatches, readRecords } from './recordBatch.ts';

export interface Totals {
  connections: number;
  requests: number;
  bytes: number;
  batches: number;
  records: number;
  topics: Record<string, { batches: number; records: number; bytes: number }>;
  /** With --verify, by `stream/signal`. */
  streams: Record<string, { records: number; items: number; bytes: number }>;
  duplicates: number;
  /** Records that could not be read, and the first reason. */
  unreadable: number;
  error: string | null;
}

const Api = { produce: 0, metadata: 3, versions: 18, initProducerId: 22 } as const;
/** As few versions of each as its clients ask for: kafkajs, and franz-go in the Collector. */
const VERSIONS = [
  [Api.produce, 7, 7],
  [Api.metadata, 5, 7],
  [Api.versions, 0, 2],
  [Api.initProducerId, 0, 1],
] as const;
const UNSUPPORTED_VERSION = 35;
const NODE_ID = 1;

interface Settings {
  port: number;
  partitions: number;
  verify: boolean;
}

/** Starts it in this process; tests do. */
export async function startLightKafka(
  settings: Settings,
): Promise<{ address: string; totals: Totals; close(): Promise<void> }> {
  const totals: Totals = {
    connections: 0,
    requests: 0,
    bytes: 0,
    batches: 0,
    records: 0,
    topics: {},
    streams: {},
    duplicates: 0,
    unreadable: 0,
    error: null,
  };
  const seen = new Set<string>();
  const sockets = new Set<Socket>();
  let port = 0;
  const server = createServer((socket) => {
    totals.connections++;
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    readRequests(socket, (request) => {
      const reply = answer(request, { settings, totals, seen, port });
      if (reply !== null) socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(settings.port, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address === 'object' && address !== null) port = address.port;
  return {
    address: `127.0.0.1:${port}`,
    totals,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

interface World {
  settings: Settings;
  totals: Totals;
  seen: Set<string>;
  port: number;
}

/** Calls `take` with each whole request: what stands behind its four bytes of length. */
function readRequests(socket: Socket, take: (request: Buffer) => void): void {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let need = 4;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    // Joined only when a request is complete: joining at every chunk would be quadratic.
    while (bytes >= need) {
      const all: Buffer = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes);
      const size = 4 + all.readInt32BE(0);
      chunks = [all];
      need = size;
      if (bytes < size) break;
      take(all.subarray(4, size));
      chunks = bytes === size ? [] : [all.subarray(size)];
      bytes -= size;
      need = 4;
    }
  });
}

function answer(request: Buffer, world: World): Buffer | null {
  const api = request.readInt16BE(0);
  const version = request.readInt16BE(2);
  const correlation = request.readInt32BE(4);
  const body = new Cursor(request, 8);
  body.text();
  world.totals.requests++;
  const reply = new Reply(correlation);
  if (api === Api.versions) writeVersions(reply, version);
  else if (api === Api.metadata && version >= 5 && version <= 7) writeMetadata(reply, version, body, world);
  else if (api === Api.initProducerId && version <= 1) reply.int32(0).int16(0).int64(1).int16(0);
  else if (api === Api.produce && version === 7) {
    if (!takeProduce(reply, body, world)) return null;
  } else reply.int16(UNSUPPORTED_VERSION);
  return reply.finish();
}

/** A version that is not known here is answered in the oldest form, with what is: clients ask again. */
function writeVersions(reply: Reply, version: number): void {
  const isKnown = version <= 2;
  reply.int16(isKnown ? 0 : UNSUPPORTED_VERSION).int32(VERSIONS.length);
  for (const [api, min, max] of VERSIONS) reply.int16(api).int16(min).int16(max);
  if (isKnown && version >= 1) reply.int32(0);
}

function writeMetadata(reply: Reply, version: number, body: Cursor, { settings, port }: World): void {
  const count = body.int32();
  const topics = Array.from({ length: Math.max(0, count) }, () => body.text() ?? '');
  reply.int32(0);
  reply.int32(1).int32(NODE_ID).text('127.0.0.1').int32(port).text(null);
  reply.text('light').int32(NODE_ID);
  reply.int32(topics.length);
  for (const topic of topics) {
    reply.int16(0).text(topic).int8(0).int32(settings.partitions);
    for (let partition = 0; partition < settings.partitions; partition++) {
      reply.int16(0).int32(partition).int32(NODE_ID);
      if (version >= 7) reply.int32(0);
      reply.int32(1).int32(NODE_ID).int32(1).int32(NODE_ID).int32(0);
    }
  }
}

/** False when the client wants no answer (acks 0). */
function takeProduce(reply: Reply, body: Cursor, world: World): boolean {
  body.text();
  const acks = body.int16();
  body.int32();
  const topics = body.int32();
  reply.int32(topics);
  for (let t = 0; t < topics; t++) {
    const topic = body.text() ?? '';
    const partitions = body.int32();
    reply.text(topic).int32(partitions);
    for (let p = 0; p < partitions; p++) {
      reply.int32(body.int32()).int16(0);
      const records = body.bytes();
      reply.int64(world.totals.records).int64(-1).int64(0);
      for (const batch of readBatches(records)) count(topic, batch, world);
    }
  }
  reply.int32(0);
  return acks !== 0;
}

function count(topic: string, batch: Batch, world: World): void {
  const { totals, settings } = world;
  totals.topics[topic] ??= { batches: 0, records: 0, bytes: 0 };
  const of = totals.topics[topic];
  for (const counter of [totals, of]) {
    counter.batches++;
    counter.records += batch.count;
    counter.bytes += batch.bytes;
  }
  if (!settings.verify) return;
  try {
    verify(batch, world);
  } catch (error) {
    totals.unreadable += batch.count;
    totals.error ??= error instanceof Error ? error.message : String(error);
  }
}

function verify(batch: Batch, { totals, seen }: World): void {
  for (const { value, headers } of readRecords(batch)) {
    const stream = headers.get('plumbline.stream') ?? 'unknown';
    const word = headers.get('plumbline.signal');
    const signal = SIGNALS.find((one) => one === word) ?? 'traces';
    const name = `${stream}/${word ?? signal}`;
    totals.streams[name] ??= { records: 0, items: 0, bytes: 0 };
    const of = totals.streams[name];
    of.records++;
    of.bytes += value.length;
    of.items += countItems(value, 0, value.length, signal);
    const sequence = headers.get('plumbline.sequence');
    if (sequence === undefined) continue;
    const identity = `${headers.get('plumbline.agent')} ${stream} ${signal} ${sequence}`;
    if (seen.has(identity)) totals.duplicates++;
    seen.add(identity);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      partitions: { type: 'string', default: '1' },
      verify: { type: 'boolean', default: false },
    },
  });
  const settings = { port: Number(values.port), partitions: Number(values.partitions), verify: values.verify };
  const { address, totals } = await startLightKafka(settings);
  const print = () => process.stdout.write(`${JSON.stringify(totals)}\n`);
  createInterface({ input: process.stdin }).on('line', print);
  process.once('SIGTERM', () => {
    print();
    process.exit(0);
  });
  console.log(`ready ${address}`);
}

if (import.meta.main) await main();
