// HOT: once per log record. Bench: bench/micro/otlp/logs.bench.ts
/**
 * Log records: validates one and notes where its fields lie.
 *
 *   LogRecord { fixed64 time = 1; SeverityNumber severity_number = 2; string severity_text = 3; AnyValue body = 5;
 *               repeated KeyValue attributes = 6; fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10;
 *               fixed64 observed_time = 11; string event_name = 12 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/logs/v1/logs.proto
 */
import { AttributeTable, isShortString, readAnyValue, readKeyValue, readUsual } from './attributes.ts';
import { type Reader, readEnd, readTag, readVarint, skipField } from './protobuf.ts';
import { BAD_ID, NO_ID, readId } from './traces.ts';

/** SeverityNumber from which a record is an error. */
export const SEVERITY_ERROR = 17;

/** One log record. Addresses; views hold until the next record is read. */
export class LogView {
  at = 0;
  end = 0;
  severity = 0;
  /** The body's AnyValue; -1 when there is none. */
  bodyAt = -1;
  bodyEnd = -1;
  /** Negative when missing or invalid: the record then belongs to no trace, or to no span (logs.proto). */
  traceIdAt = NO_ID;
  spanIdAt = NO_ID;
  timeLow = 0;
  timeHigh = 0;
  /** Address of observed_time's eight bytes; -1 when there is none. */
  observedAt = -1;
  readonly attributes = new AttributeTable();
  /** Set by the walk: a look-back of an agent before has added it, so it counts 0. */
  isAdded = false;

  /** It has an id of another length. */
  get hasBadId(): boolean {
    return this.traceIdAt === BAD_ID || this.spanIdAt === BAD_ID;
  }

  /** False for what is over the limit. */
  isSound(mostBytes: number): boolean {
    return this.end - this.at <= mostBytes;
  }

  /** The record's own time in Unix milliseconds, else when it was observed; 0 when it says neither. */
  timeMs(): number {
    return (this.timeHigh * 0x1_0000_0000 + this.timeLow) / 1e6;
  }
}

/** Reads and validates the log record between `at` and `end`; throws BODY_UNDECODABLE. */
export function readLogRecord(reader: Reader, at: number, end: number, log: LogView): void {
  log.at = at;
  log.end = end;
  log.severity = 0;
  log.bodyAt = -1;
  log.bodyEnd = -1;
  log.traceIdAt = NO_ID;
  log.spanIdAt = NO_ID;
  log.timeLow = 0;
  log.timeHigh = 0;
  log.observedAt = -1;
  log.isAdded = false;
  log.attributes.clear();
  let pos = at;
  while (pos < end) {
    reader.pos = readUsualFields(reader, pos, end, log);
    if (reader.pos < end) readField(reader, end, log);
    pos = reader.pos;
  }
  reader.pos = end;
  if (log.timeLow === 0 && log.timeHigh === 0 && log.observedAt >= 0) {
    log.timeLow = reader.view.getUint32(log.observedAt, true);
    log.timeHigh = reader.view.getUint32(log.observedAt + 4, true);
  }
}

/** As that of spans. */
function readUsualFields(reader: Reader, from: number, end: number, log: LogView): number {
  const { view } = reader;
  let pos = from | 0;
  const last = (end - 4) | 0;
  while (pos <= last) {
    const head = view.getInt32(pos, true);
    const length = (head >>> 8) & 0xff;
    let stop = (pos + 2 + length) | 0;
    switch (head & 0xff) {
      case 50: // attributes
        stop = readUsual(reader, pos, end, 50, log.attributes) | 0;
        if (stop === pos) return pos;
        pos = stop;
        break;
      case 9: // time
        if (pos + 9 > end) return pos;
        log.timeLow = view.getUint32(pos + 1, true);
        log.timeHigh = view.getUint32(pos + 5, true);
        pos = (pos + 9) | 0;
        break;
      case 89: // observed_time
        if (pos + 9 > end) return pos;
        log.observedAt = pos + 1;
        pos = (pos + 9) | 0;
        break;
      case 16: // severity_number
        if (length >= 0x80) return pos;
        log.severity = length;
        pos = (pos + 2) | 0;
        break;
      case 26: // severity_text
        if (length >= 0x80 || stop > end) return pos;
        pos = stop;
        break;
      case 42: // body, a short string
        if (length >= 0x80 || stop > end || !isShortString(reader.bytes, pos + 2, stop)) return pos;
        log.bodyAt = pos + 2;
        log.bodyEnd = stop;
        pos = stop;
        break;
      case 69: // flags
        if (pos + 5 > end) return pos;
        pos = (pos + 5) | 0;
        break;
      case 74: // trace_id
        if (length !== 16 || (head & 0xff_0000) === 0 || stop > end) return pos;
        log.traceIdAt = pos + 2;
        pos = stop;
        break;
      case 82: // span_id
        if (length !== 8 || (head & 0xff_0000) === 0 || stop > end) return pos;
        log.spanIdAt = pos + 2;
        pos = stop;
        break;
      default:
        return pos;
    }
  }
  return pos;
}

/** Reads the field at the reader, whatever it is. */
function readField(reader: Reader, end: number, log: LogView): void {
  const tag = readTag(reader, end);
  switch (tag) {
    case 50: // attributes
      readKeyValue(reader, readEnd(reader, end), log.attributes, 1);
      break;
    case 9: // time
      skipField(reader, tag, end);
      log.timeLow = reader.view.getUint32(reader.pos - 8, true);
      log.timeHigh = reader.view.getUint32(reader.pos - 4, true);
      break;
    case 16: // severity_number
      log.severity = readVarint(reader, end) | 0;
      break;
    case 42: {
      // body
      const stop = readEnd(reader, end);
      const start = reader.pos;
      if (readAnyValue(reader, stop, 1) || log.bodyAt < 0) {
        log.bodyAt = start;
        log.bodyEnd = stop;
      }
      break;
    }
    case 74: // trace_id
      log.traceIdAt = readId(reader, end, 16);
      break;
    case 82: // span_id
      log.spanIdAt = readId(reader, end, 8);
      break;
    case 89: // observed_time
      skipField(reader, tag, end);
      log.observedAt = reader.pos - 8;
      break;
    default:
      skipField(reader, tag, end);
  }
}
