/** Wires one sink as the composition root does, over a journal in memory and an encoder in this thread. */
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { loadConfig } from '../../src/config.ts';
import { BlockPool, type Signal, type Stream, UNIT_BYTES } from '../../src/core/block.ts';
import type { CursorRow, Output, Row, SinkDefinition } from '../../src/core/component.ts';
import { AgentError } from '../../src/core/errors.ts';
import { createTelemetry } from '../../src/core/telemetry.ts';
import { requestType } from '../../src/otlp/schema.ts';
import { createDelivery, type DeliveryOptions } from '../../src/sinks/deliver.ts';
import type { Encoded } from '../../src/sinks/parts.ts';
import { deliveryOf, sinkConfig } from '../../src/sinks/sink.ts';
import { MemorySource } from './memory_source.ts';

export const AGENT = 'edge-1-0123abcd';

/** A sink's section as src/config.ts gives it: validated, with its defaults. JSON is YAML. */
export function validated(definition: SinkDefinition, section: object): unknown {
  const { config } = loadConfig({
    text: JSON.stringify({ sinks: [section] }),
    file: 'agent.yaml',
    env: {},
    processors: [],
    sinks: [{ ...definition, config: sinkConfig(definition) }],
  });
  return config.sinks[0];
}

export function temporaryFolder(t: TestContext, parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'plumbline-sink-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function freshCursor(): CursorRow {
  return {
    next: 0,
    offeredFrom: 0,
    filteredFrom: 0,
    sampledOutFrom: 0,
    damagedFrom: 0,
    expiredFrom: 0,
    delivered: 0,
    filtered: 0,
    deadLettered: 0,
    expired: 0,
    damaged: 0,
  };
}

export type Harness = ReturnType<typeof createHarness>;

export function createHarness(definition: SinkDefinition, section: object, changes: Partial<DeliveryOptions> = {}) {
  const pool = changes.pool ?? BlockPool.create(64 << 20);
  const source = new MemorySource(pool);
  const cursors = new Map<string, CursorRow>();
  const cursor = ({ stream, signal }: Row) => {
    const found = cursors.get(`${stream}/${signal}`) ?? freshCursor();
    cursors.set(`${stream}/${signal}`, found);
    return found;
  };
  const config = validated(definition, section);
  const encoder = definition.encoder(config);
  const telemetry = createTelemetry();
  const make = () =>
    createDelivery({
      definition,
      directory: '/nowhere',
      name: definition.type,
      agent: AGENT,
      config,
      pool,
      mostBlockBytes: pool.units * UNIT_BYTES,
      ...deliveryOf(config, null),
      source: () => source,
      cursor,
      encode: async (frames, stream, signal) =>
        encodeHere(pool, (out) => encoder.encode(pool, frames, stream, signal, out)),
      telemetry,
      log: pino({ level: 'silent' }),
      now: () => Date.now(),
      ...changes,
    });
  return { pool, source, cursor, telemetry, make, delivery: make() };
}

/** What a worker does: memory for the output, given back whole when it throws. */
export function encodeHere(pool: BlockPool, encode: (out: Output) => Encoded['parts']): Encoded {
  const blocks: { at: number; used: number; bytes: number }[] = [];
  const release = () => {
    for (const { at, bytes } of blocks) {
      pool.bytes.fill(0xff, at, at + bytes);
      pool.release(at);
    }
  };
  const allocate = (bytes: number) => {
    let block = blocks.at(-1);
    if (block === undefined || block.used + bytes > block.bytes) {
      const size = Math.max(bytes, UNIT_BYTES);
      const at = pool.allocate(size);
      if (at < 0) throw new AgentError('OVERLOADED', 'the pool is empty', { retryable: true });
      block = { at, used: 0, bytes: size };
      blocks.push(block);
    }
    const at = block.at + block.used;
    block.used += (bytes + 7) & ~7;
    return at;
  };
  try {
    return { parts: encode({ pool, allocate }), release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Lets I/O and promises run until the condition holds; `tick` is called each turn, to move a mocked clock. */
export async function eventually(condition: () => boolean, tick: () => void = () => {}): Promise<void> {
  // Not Date, which tests mock: a sync to disk takes as long as it takes.
  for (const untilMs = performance.now() + 30_000; performance.now() < untilMs; ) {
    if (condition()) return;
    tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`never happened: ${condition}`);
}

/** The same with the real clock, for what happens in other processes. */
export async function within(ms: number, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const untilMs = Date.now() + ms; Date.now() < untilMs; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${ms} ms: ${condition}`);
}

export function bytesOfRequest(signal: Signal, request: object): Buffer {
  const type = requestType(signal);
  return Buffer.from(type.encode(type.fromObject(request)).finish());
}

/** A traces request with spans named by their number, `from` to `to`. */
export function spans(from: number, to: number, service = 'checkout', padding = 0): Buffer {
  const names = Array.from({ length: to - from }, (_, i) => ({ name: `${from + i}`, traceState: 'x'.repeat(padding) }));
  return bytesOfRequest('traces', { resourceSpans: [{ resource: resource(service), scopeSpans: [{ spans: names }] }] });
}

export function resource(service: string) {
  return { attributes: [{ key: 'service.name', value: { stringValue: service } }] };
}

/** Names of the spans in a traces request. */
export function namesIn(payload: Uint8Array): string[] {
  const request = requestType('traces').decode(payload) as unknown as {
    resourceSpans: { scopeSpans: { spans: { name: string }[] }[] }[];
  };
  return request.resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans.map(({ name }) => name)));
}

export const STREAM: Stream = 'raw';

/** The names below `top` of what is synced from now on, in order. Names of open files are read from /proc. */
export async function watchSyncs(t: TestContext, top: string): Promise<string[]> {
  const names: string[] = [];
  const handle = await open(top, 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { sync } = prototype;
  t.mock.method(prototype, 'sync', function (this: FileHandle) {
    names.push(relative(top, readlinkSync(`/proc/self/fd/${this.fd}`)) || '.');
    return sync.call(this);
  });
  return names;
}
