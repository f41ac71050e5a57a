// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/**
 * `sample` before the journal: one row for each run of spans of one trace and service, with the worst class among them.
 * Rows: id low, id high, class, hash of the service's name (u32).
 */
import { readFixed32 } from '../../otlp/protobuf.ts';
import { STATUS_ERROR } from '../../otlp/traces.ts';
import type { Measurer, Views } from '../processor.ts';
import { BASE, ERROR, SLOW } from './traceTable.ts';

const STEP = 4;
export const MARK_ROW_BYTES = STEP * 4;

export function createMarker(views: Views): Measurer {
  const bytes = views.pool.bytes;
  let rows = new Uint32Array(STEP * 1024);
  let count = 0;
  return {
    reset() {
      count = 0;
    },
    span(span, envelope) {
      if (span.traceIdAt < 0) return;
      const low = readFixed32(bytes, span.traceIdAt + 8);
      const high = readFixed32(bytes, span.traceIdAt + 12);
      const traceClass = span.status === STATUS_ERROR ? ERROR : span.slow ? SLOW : BASE;
      const last = (count - 1) * STEP;
      const service = envelope.serviceHash;
      if (count > 0 && rows[last] === low && rows[last + 1] === high && rows[last + 3] === service) {
        if (traceClass > rows[last + 2]!) rows[last + 2] = traceClass;
        return;
      }
      if ((count + 1) * STEP > rows.length) {
        const grown = new Uint32Array(rows.length * 2);
        grown.set(rows);
        rows = grown;
      }
      rows[last + STEP] = low;
      rows[last + STEP + 1] = high;
      rows[last + STEP + 2] = traceClass;
      rows[last + STEP + 3] = service;
      count++;
    },
    size: () => count * MARK_ROW_BYTES,
    write(out, at) {
      new Uint32Array(out.buffer, out.byteOffset + at, count * STEP).set(rows.subarray(0, count * STEP));
      return at + count * MARK_ROW_BYTES;
    },
  };
}
