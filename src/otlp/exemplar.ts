// HOT: once per exemplar. Bench: bench/micro/otlp/metrics.bench.ts
/**
 * Exemplars of data points: validates one and says whether its ids are sound.
 *
 *   Exemplar { fixed64 time = 2; double as_double = 3; bytes span_id = 4; bytes trace_id = 5; sfixed64 as_int = 6;
 *              repeated KeyValue filtered_attributes = 7 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/metrics/v1/metrics.proto
 */
import { NOT_NOTED, readKeyValue } from './attributes.ts';
import { type Reader, readEnd, readTag, skipField } from './protobuf.ts';
import { BAD_ID, readId } from './traces.ts';

/** Tag of a point's exemplars, by the field number of its metric's data; a summary has none. */
export const EXEMPLAR_TAGS: Partial<Record<number, number>> = { 5: 42, 7: 42, 9: 66, 10: 90 };

/** Reads from the reader's position to `end`; false when it has an id that is none. Throws BODY_UNDECODABLE. */
export function readExemplar(reader: Reader, end: number): boolean {
  let traceId = 0;
  let spanId = 0;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 58) readKeyValue(reader, readEnd(reader, end), NOT_NOTED, 1);
    else if (tag === 42) traceId = readId(reader, end, 16);
    else if (tag === 34) spanId = readId(reader, end, 8);
    else skipField(reader, tag, end);
  }
  return traceId !== BAD_ID && spanId !== BAD_ID;
}
