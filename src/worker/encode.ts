// HOT: once per frame of a sink that does not send frames as they lie. Bench: bench/micro/worker/encode.bench.ts
/** Encode: a sink's pure half, run on frames of one row. */
import type { Parts } from './parts.ts';
import type { EncodeResult, EncodeTask } from './tasks.ts';

export function encode(parts: Parts, task: EncodeTask): EncodeResult {
  const encoder = parts.encoders[task.sink]!;
  const encoded = encoder.encode(parts.views.pool, task.frames, task.stream, task.signal, parts.output);
  return { parts: encoded, blocks: parts.output.take().blocks };
}
