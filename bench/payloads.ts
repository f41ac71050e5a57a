/**
 * The standard workloads as encoded export requests, seeded: same seed, same bytes. Ids and times have a fixed width, so each send
 * patches them in place instead of encoding anew.
 */
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type protobuf from 'protobufjs';
import type { Signal } from '../src/core/block.ts';
import { requestType } from '../src/otlp/schema.ts';
import { createRandom, type Random } from './random.ts';
import { BASE_NS, logRequest, metricRequest, type Plain, SPANS_PER_TRACE, traceRequest } from './shapes.ts';

export const WORKLOADS = ['W-std', 'W-small', 'W-heavy', 'W-gzip', 'W-zstd', 'W-mixed', 'W-logs', 'W-metrics'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** Items of a request when nobody says. */
export const DEFAULT_BATCH: Record<Workload, number> = {
  'W-std': 512,
  'W-small': 100,
  'W-heavy': 8,
  'W-gzip': 512,
  'W-zstd': 512,
  'W-mixed': 512,
  'W-logs': 512,
  'W-metrics': 512,
};

export interface Payload {
  signal: Signal;
  path: string;
  contentEncoding: 'gzip' | 'zstd' | null;
  bytes: Buffer;
  items: number;
  /** Bytes before compression. */
  plainBytes: number;
  /**
   * Gives a copy of `bytes` in `buffer` the ids of send number `counter` and times just before `nowNs`. Different counters (below 2^32)
   * share no id. A compressed payload stays as it is: its ids come again each time it is sent.
   */
  patch(buffer: Buffer, counter: number, nowNs: bigint): void;
}

export interface PayloadOptions {
  workload: Workload;
  seed: number;
  /** Items of each request. */
  batch?: number;
  /** How many different requests; W-mixed needs 10 for its shares, or a multiple. */
  count?: number;
  /** Time of what cannot be patched. */
  nowNs?: bigint;
  /** Share of spans in error; above the normal for an incident. */
  errorShare?: number;
}

const PATHS: Record<Signal, string> = { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' };
/** 60 % traces, 30 % logs, 10 % metrics, interleaved. */
const MIX: readonly Signal[] = [
  'traces',
  'logs',
  'traces',
  'traces',
  'metrics',
  'traces',
  'logs',
  'traces',
  'logs',
  'traces',
];

export function createPayloads(options: PayloadOptions): Payload[] {
  const { workload, seed, count = 10, nowNs = BASE_NS } = options;
  const batch = options.batch ?? DEFAULT_BATCH[workload];
  const random = createRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const signal = signalOf(workload, i);
    const payload = encode(
      signal,
      makeRequest(random, signal, workload, batch, i * 5, options.errorShare),
      batch,
      seed,
    );
    if (workload !== 'W-gzip' && workload !== 'W-zstd') return payload;
    payload.patch(payload.bytes, i, nowNs);
    return workload === 'W-gzip'
      ? compressed(payload, 'gzip', gzipSync(payload.bytes, { level: 6 }))
      : compressed(payload, 'zstd', zstdCompressSync(payload.bytes));
  });
}

function signalOf(workload: Workload, request: number): Signal {
  if (workload === 'W-logs') return 'logs';
  if (workload === 'W-metrics') return 'metrics';
  return workload === 'W-mixed' ? (MIX[request % MIX.length] as Signal) : 'traces';
}

function makeRequest(
  random: Random,
  signal: Signal,
  workload: Workload,
  batch: number,
  offset: number,
  errorShare?: number,
): Plain {
  if (signal === 'logs') return logRequest(random, batch, offset);
  if (signal === 'metrics') return metricRequest(random, batch, offset);
  const shape = workload === 'W-small' ? 'small' : workload === 'W-heavy' ? 'heavy' : 'std';
  return traceRequest(random, batch, offset, shape, errorShare);
}

function encode(signal: Signal, request: Plain, items: number, seed: number): Payload {
  const type = requestType(signal);
  const bytes = Buffer.from(type.encode(type.fromObject(request)).finish());
  const places = findPlaces(type, bytes);
  return {
    signal,
    path: PATHS[signal],
    contentEncoding: null,
    bytes,
    items,
    plainBytes: bytes.length,
    patch: createPatch(places, items, seed),
  };
}

function compressed(payload: Payload, contentEncoding: 'gzip' | 'zstd', bytes: Buffer): Payload {
  return { ...payload, bytes, contentEncoding, patch: () => undefined };
}

/** Where ids and times lie, two numbers each: the offset, and the placeholder's number or the distance from the send in nanoseconds. */
interface Places {
  traceIds: number[];
  spanIds: number[];
  times: number[];
}

/** Walks the message by its type; protobufjs' own reader is the guide, so that nothing of src/otlp is trusted. */
function findPlaces(type: protobuf.Type, bytes: Buffer): Places {
  const places: Places = { traceIds: [], spanIds: [], times: [] };
  visit(type, bytes, 0, bytes.length, places);
  return places;
}

function visit(type: protobuf.Type, bytes: Buffer, from: number, end: number, places: Places): void {
  let pos = from;
  while (pos < end) {
    const tag = readVarint(bytes, pos);
    pos = tag.next;
    const wire = tag.value & 7;
    const field = type.fieldsById[tag.value >>> 3];
    if (wire === 0) pos = readVarint(bytes, pos).next;
    else if (wire === 5) pos += 4;
    else if (wire === 1) {
      if (field?.name.endsWith('imeUnixNano')) places.times.push(pos, Number(BASE_NS - bytes.readBigUInt64LE(pos)));
      pos += 8;
    } else {
      const length = readVarint(bytes, pos);
      pos = length.next;
      const inner = field?.resolvedType;
      if (field?.name === 'traceId') places.traceIds.push(pos, bytes.readUInt32BE(pos));
      else if (field?.name === 'spanId' || field?.name === 'parentSpanId')
        places.spanIds.push(pos, bytes.readUInt32BE(pos));
      else if (inner && 'fieldsById' in inner) visit(inner, bytes, pos, pos + length.value, places);
      pos += length.value;
    }
  }
}

function readVarint(bytes: Buffer, at: number): { value: number; next: number } {
  let value = 0;
  let next = at;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[next++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, next };
  }
}

const views = new WeakMap<Buffer, DataView>();

function viewOf(buffer: Buffer): DataView {
  let view = views.get(buffer);
  if (view === undefined) {
    view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    views.set(buffer, view);
  }
  return view;
}

function createPatch(places: Places, items: number, seed: number): Payload['patch'] {
  const traceIds = Int32Array.from(places.traceIds);
  const spanIds = Int32Array.from(places.spanIds);
  const times = Float64Array.from(places.times);
  const traces = Math.ceil(items / SPANS_PER_TRACE);
  const prefix = (seed | 1) >>> 0;
  return (buffer, counter, nowNs) => {
    const view = viewOf(buffer);
    for (let i = 0; i < traceIds.length; i += 2) {
      const at = traceIds[i] as number;
      // A number of its own for each trace of each send, mixed: the mixing is one to one, so it stays its own, and R is even.
      const mixed = mix((Math.imul(counter, traces) + (traceIds[i + 1] as number)) ^ prefix);
      view.setUint32(at, prefix);
      view.setUint32(at + 4, counter);
      view.setUint32(at + 8, mix(mixed + 0x9e37_79b9));
      view.setUint32(at + 12, mixed);
    }
    for (let i = 0; i < spanIds.length; i += 2) {
      const at = spanIds[i] as number;
      const number = spanIds[i + 1] as number;
      view.setUint32(at, mix(number ^ prefix));
      view.setUint32(at + 4, counter + 1);
    }
    patchTimes(view, times, nowNs);
  };
}

function patchTimes(view: DataView, times: Float64Array, nowNs: bigint): void {
  const low = Number(nowNs & 0xffff_ffffn);
  const high = Number(nowNs >> 32n);
  for (let i = 0; i < times.length; i += 2) {
    const at = times[i] as number;
    const less = low - (times[i + 1] as number);
    // Distances are below 2^32 ns, so at most one is borrowed.
    view.setUint32(at, less < 0 ? less + 0x1_0000_0000 : less, true);
    view.setUint32(at + 4, less < 0 ? high - 1 : high, true);
  }
}

/** MurmurHash3's finaliser: one to one on 32 bits. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
