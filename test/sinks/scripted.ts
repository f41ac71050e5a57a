/** A sink without a destination, for tests of delivery: it answers as the test says and remembers what it was given. */

import { Field, FRAME_HEADER_BYTES, payloadLength, readU64 } from '../../src/core/block.ts';
import type { Batch, Encoder, SinkContext, SinkDefinition, WriteResult, Writer } from '../../src/core/component.ts';
import { Type } from '../../src/core/type.ts';

export interface Call {
  batch: Batch;
  /** Payloads as they were when the call came. */
  payloads: Buffer[];
  first: number;
  last: number;
  answer(result: WriteResult): void;
}

export interface Scripted {
  definition: SinkDefinition;
  calls: Call[];
  context: SinkContext;
  closed: boolean;
  /** Answers a call at once; null leaves it to the test. */
  script(call: Call, index: number): WriteResult | null;
  resume?: Writer['resume'];
  finish?: Writer['finish'];
}

export function scriptedSink(changes: Partial<SinkDefinition> & { encoder?: () => Encoder; holds?: boolean } = {}) {
  const sink: Scripted = {
    calls: [],
    closed: false,
    script: () => ({ kind: 'delivered' }),
    // Set when the writer is opened, before anything can use it.
    context: undefined as unknown as SinkContext,
    definition: {
      type: 'scripted',
      summary: 'Answers as a test says.',
      config: Type.Object({}),
      subscribe: 'list',
      concurrency: 4,
      batchBytes: 4096,
      encoder: () => wholeFrames,
      async open(_config, context) {
        sink.context = context;
        const writer: Writer = {
          write: (batch) => answerBy(sink, batch),
          async close() {
            sink.closed = true;
          },
        };
        if (changes.holds) {
          writer.resume = async (...args) => (await sink.resume?.(...args)) ?? null;
          writer.finish = async (row) => sink.finish?.(row);
        }
        return writer;
      },
      ...changes,
    },
  };
  return sink;
}

/** Every frame leaves as it lies. */
export const wholeFrames: Encoder = {
  direct(pool, frame) {
    const sequence = readU64(pool, frame + Field.sequence);
    const items = pool.words[(frame + Field.items) >>> 2] as number;
    const length = payloadLength(pool, frame);
    return { at: frame + FRAME_HEADER_BYTES, length, sequence, lastSequence: sequence, part: 0, items, key: null };
  },
  encode: (pool, frames) => frames.map((frame) => wholeFrames.direct(pool, frame) ?? neverNull()),
};

function neverNull(): never {
  throw new Error('direct makes a part of every frame');
}

function answerBy(sink: Scripted, batch: Batch): Promise<WriteResult> {
  const { promise, resolve } = Promise.withResolvers<WriteResult>();
  const { bytes } = sink.context.pool;
  const call: Call = {
    batch,
    payloads: batch.parts.map(({ at, length }) => Buffer.from(bytes.subarray(at, at + length))),
    first: batch.parts[0]?.sequence ?? -1,
    last: batch.parts.at(-1)?.lastSequence ?? -1,
    answer: resolve,
  };
  sink.calls.push(call);
  const result = sink.script(call, sink.calls.length - 1);
  if (result !== null) resolve(result);
  return promise;
}
