// HOT: once per span. Bench: bench/micro/otlp/traces.bench.ts
/**
 * Spans: validates one and notes where its fields lie.
 *
 *   Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5; SpanKind kind = 6;
 *          fixed64 start = 7; fixed64 end = 8; repeated KeyValue attributes = 9; repeated Event events = 11; repeated Link links = 13;
 *          Status status = 15; fixed32 flags = 16 }
 *   Event { fixed64 time = 1; string name = 2; repeated KeyValue attributes = 3 }
 *   Link  { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4; fixed32 flags = 6 }
 *   Status { string message = 2; StatusCode code = 3 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/trace/v1/trace.proto
 */
import { AttributeTable, NOT_NOTED, readKeyValue, readUsual, takeAttributes } from './attributes.ts';
import { type Reader, readEnd, readTag, readVarint, skipField } from './protobuf.ts';
import { NameHash } from './spanName.ts';

export const STATUS_ERROR = 2;

/** What `readId` answers for an empty id or one of zeros alone, which are as none, and for one of another length. */
export const NO_ID = -1;
export const BAD_ID = -2;

/** One span. Addresses; views hold until the next span is read. */
export class SpanView {
  at = 0;
  end = 0;
  /** Address of the 16 and 8 bytes; negative when missing, of another length, or all zero. */
  traceIdAt = NO_ID;
  spanIdAt = NO_ID;
  /** The whole trace_state field, tag included, and its text. */
  traceStateTagAt = -1;
  traceStateAt = 0;
  traceStateEnd = 0;
  nameAt = 0;
  nameLength = 0;
  kind = 0;
  status = 0;
  startLow = 0;
  startHigh = 0;
  endLow = 0;
  endHigh = 0;
  readonly attributes = new AttributeTable();
  readonly #nameHash = new NameHash();
  #isHashed = false;
  /** Set by the walk: a look-back of an agent before has added it, so it counts 0. */
  isAdded = false;
  /** Set by contracts: slower than a `slower_than` of its service. */
  slow = false;
  /** Set by contracts: one says from when on it is slow. */
  isLimited = false;

  /** False without ids, and for what is over the limit. */
  isSound(mostBytes: number): boolean {
    return this.traceIdAt >= 0 && this.spanIdAt >= 0 && this.end - this.at <= mostBytes;
  }

  /** Of its name, made when it is first asked for. */
  nameHash(reader: Reader): NameHash {
    if (!this.#isHashed) {
      this.#nameHash.read(reader.view, reader.bytes, this.nameAt, this.nameLength);
      this.#isHashed = true;
    }
    return this.#nameHash;
  }

  /** Another span begins. */
  clear(at: number, end: number): void {
    this.at = at;
    this.end = end;
    this.traceIdAt = NO_ID;
    this.spanIdAt = NO_ID;
    this.traceStateTagAt = -1;
    this.nameAt = at;
    this.nameLength = 0;
    this.kind = 0;
    this.status = 0;
    this.startLow = 0;
    this.startHigh = 0;
    this.endLow = 0;
    this.endHigh = 0;
    this.attributes.clear();
    this.#isHashed = false;
    this.isAdded = false;
    this.slow = false;
    this.isLimited = false;
  }

  /** Nanoseconds from start to end; 0 when the clock went backwards. */
  durationNs(): number {
    const ns = (this.endHigh - this.startHigh) * 0x1_0000_0000 + (this.endLow - this.startLow);
    return ns > 0 ? ns : 0;
  }

  /** End of the span in Unix milliseconds. */
  endMs(): number {
    return (this.endHigh * 0x1_0000_0000 + this.endLow) / 1e6;
  }
}

/** Reads and validates the span between `at` and `end`; throws BODY_UNDECODABLE. */
export function readSpan(reader: Reader, at: number, end: number, span: SpanView): void {
  span.clear(at, end);
  let pos = at;
  while (pos < end) {
    reader.pos = readUsualFields(reader, pos, end, span);
    if (reader.pos < end) readField(reader, end, span);
    pos = reader.pos;
  }
  reader.pos = end;
}

/**
 * Reads fields from `from` on as SDKs write them, without a call for each, and answers where it stopped: at the end, or at one for
 * `readField`. `| 0`: as attributes.ts has it.
 */
function readUsualFields(reader: Reader, from: number, end: number, span: SpanView): number {
  const { view } = reader;
  let pos = from | 0;
  const last = (end - 4) | 0;
  while (pos <= last) {
    const head = view.getInt32(pos, true);
    const length = (head >>> 8) & 0xff;
    let stop = (pos + 2 + length) | 0;
    switch (head & 0xff) {
      case 74: // attributes
        stop = readUsual(reader, pos, end, 74, span.attributes) | 0;
        if (stop === pos) return pos;
        pos = stop;
        break;
      case 10: // trace_id
        if (length !== 16 || (head & 0xff_0000) === 0 || stop > end) return pos;
        span.traceIdAt = pos + 2;
        pos = stop;
        break;
      case 18: // span_id
        if (length !== 8 || (head & 0xff_0000) === 0 || stop > end) return pos;
        span.spanIdAt = pos + 2;
        pos = stop;
        break;
      case 34: // parent_span_id
        if (length !== 8 || stop > end) return pos;
        pos = stop;
        break;
      case 42: // name
        if (length >= 0x80 || stop > end) return pos;
        span.nameAt = pos + 2;
        span.nameLength = length;
        pos = stop;
        break;
      case 48: // kind
        if (length >= 0x80) return pos;
        span.kind = length;
        pos = (pos + 2) | 0;
        break;
      case 57: // start
        if (pos + 9 > end) return pos;
        span.startLow = view.getUint32(pos + 1, true);
        span.startHigh = view.getUint32(pos + 5, true);
        pos = (pos + 9) | 0;
        break;
      case 65: // end
        if (pos + 9 > end) return pos;
        span.endLow = view.getUint32(pos + 1, true);
        span.endHigh = view.getUint32(pos + 5, true);
        pos = (pos + 9) | 0;
        break;
      case 122: // status: empty, or nothing but a code
        if (length !== 0) {
          if (length !== 2 || (head & 0x80ff_0000) !== 24 << 16) return pos;
          span.status = head >>> 24;
        }
        pos = stop;
        break;
      case 133: // flags
        if (length !== 1 || pos + 6 > end) return pos;
        pos = (pos + 6) | 0;
        break;
      default:
        return pos;
    }
  }
  return pos;
}

/** Reads the field at the reader, whatever it is. */
function readField(reader: Reader, end: number, span: SpanView): void {
  const tagAt = reader.pos;
  const tag = readTag(reader, end);
  switch (tag) {
    case 74: // attributes
      readKeyValue(reader, readEnd(reader, end), span.attributes, 1);
      break;
    case 10: // trace_id
      span.traceIdAt = readId(reader, end, 16);
      break;
    case 18: // span_id
      span.spanIdAt = readId(reader, end, 8);
      break;
    case 26: // trace_state
      span.traceStateTagAt = tagAt;
      span.traceStateEnd = readEnd(reader, end);
      span.traceStateAt = reader.pos;
      reader.pos = span.traceStateEnd;
      break;
    case 42: {
      // name
      const stop = readEnd(reader, end);
      span.nameAt = reader.pos;
      span.nameLength = stop - reader.pos;
      reader.pos = stop;
      break;
    }
    case 48: // kind
      span.kind = readVarint(reader, end) | 0;
      break;
    case 57: // start
      skipField(reader, tag, end);
      span.startLow = reader.view.getUint32(reader.pos - 8, true);
      span.startHigh = reader.view.getUint32(reader.pos - 4, true);
      break;
    case 65: // end
      skipField(reader, tag, end);
      span.endLow = reader.view.getUint32(reader.pos - 8, true);
      span.endHigh = reader.view.getUint32(reader.pos - 4, true);
      break;
    case 90: // events
      readAttributed(reader, readEnd(reader, end), 26);
      break;
    case 106: // links
      readAttributed(reader, readEnd(reader, end), 34);
      break;
    case 122: // status
      span.status = readStatusCode(reader, readEnd(reader, end), span.status);
      break;
    default:
      skipField(reader, tag, end);
  }
}

/** An id's address, or one of these. */
export function readId(reader: Reader, end: number, length: number): number {
  const stop = readEnd(reader, end);
  const at = reader.pos;
  reader.pos = stop;
  if (stop - at !== length) return stop === at ? NO_ID : BAD_ID;
  for (let i = at; i < stop; i++) if (reader.bytes[i] !== 0) return at;
  return NO_ID;
}

/** An event or a link: everything is passed over but its attributes, which are validated. */
function readAttributed(reader: Reader, end: number, attributeTag: number): void {
  while (reader.pos < end) {
    const at = reader.pos;
    const tag = readTag(reader, end);
    if (tag === attributeTag) takeAttributes(reader, at, end, tag, NOT_NOTED);
    else skipField(reader, tag, end);
  }
}

function readStatusCode(reader: Reader, end: number, before: number): number {
  let code = before;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 24) code = readVarint(reader, end) | 0;
    else skipField(reader, tag, end);
  }
  return code;
}

/** The address of a valid, already validated span's trace id: its first field, as every SDK writes it, or wherever it is. */
export function findTraceId(reader: Reader, at: number, end: number): number {
  if (reader.bytes[at] === 10 && reader.bytes[at + 1] === 16) return at + 2;
  reader.pos = at;
  let found = -1;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10) found = readId(reader, end, 16);
    else skipField(reader, tag, end);
  }
  return found;
}
