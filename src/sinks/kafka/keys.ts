/** What a record is keyed by: nothing, a resource's attribute, or the trace of its items; reads it from the wire. */
import type { BlockPool, Signal } from '../../core/block.ts';
import { emptyValue, readValue } from '../../otlp/attributes.ts';
import { Reader, readEnd, readTag, skipField } from '../../otlp/protobuf.ts';
import { Envelope } from '../../otlp/resource.ts';
import { MOST_KEY_BYTES } from './size.ts';

/** `resource`: of the entries of a request, cut between them; `item`: of spans and log records, which are sorted by it. */
export type KeyRule = { kind: 'none' } | { kind: 'resource'; attribute: Buffer } | { kind: 'item'; tag: number };

/** Span.trace_id = 1, LogRecord.trace_id = 9. */
const TRACE_ID_TAGS = { traces: 10, logs: 74 };
const SERVICE = { kind: 'resource', attribute: Buffer.from('service.name') } as const;
const NONE = { kind: 'none' } as const;
const RESOURCE = 'resource.';

/** Summaries and events always have their service; metrics belong to no trace. */
export function keyRule(key: string, stream: string | undefined, signal: Signal): KeyRule {
  if (key === 'service' || stream === 'summaries' || stream === 'events') return SERVICE;
  if (key === 'trace_id') return signal === 'metrics' ? NONE : { kind: 'item', tag: TRACE_ID_TAGS[signal] };
  if (key.startsWith(RESOURCE)) return { kind: 'resource', attribute: Buffer.from(key.slice(RESOURCE.length)) };
  return NONE;
}

/** Reads keys from the pool; '' where there is none. */
export function createKeyReader(pool: BlockPool) {
  const envelope = new Envelope(pool.bytes);
  const reader = new Reader(pool.bytes);
  const value = emptyValue();
  return {
    /** Of the Resource... message between `at` and `end`. */
    ofResource(attribute: Buffer, at: number, end: number): string {
      envelope.enterResource(at, end);
      const found = envelope.resource.find(pool.bytes, attribute);
      if (found < 0) return '';
      readValue(reader, envelope.resource.valueAt(found), envelope.resource.valueEnd(found), value);
      if (value.kind !== 'string') return '';
      return pool.bytes.toString('utf8', value.at, Math.min(value.end, value.at + MOST_KEY_BYTES));
    },
    /** Hex of the bytes in the field `tag` of the Span or LogRecord between `at` and `end`. */
    ofItem(tag: number, at: number, end: number): string {
      reader.pos = at;
      while (reader.pos < end) {
        const next = readTag(reader, end);
        if (next !== tag) skipField(reader, next, end);
        else {
          const stop = readEnd(reader, end);
          return pool.bytes.toString('hex', reader.pos, Math.min(stop, reader.pos + MOST_KEY_BYTES));
        }
      }
      return '';
    },
  };
}
