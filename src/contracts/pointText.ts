/** What explains a data point to people, read on main from the point itself: its attributes as text, and the traces of its exemplars. */
import { emptyValue, readValue } from '../otlp/attributes.ts';
import { EXEMPLAR_TAGS } from '../otlp/exemplar.ts';
import { PointView, readPoint } from '../otlp/points.ts';
import { Reader, readEnd, readTag, skipField } from '../otlp/protobuf.ts';
import { NO_ID, readId } from '../otlp/traces.ts';

/** Where a point lies, as a worker has noted it (rows.ts). Addresses. */
export interface PointSource {
  /** Field number of the metric's data: says which kind of point it is. */
  kind: number;
  at: number;
  end: number;
  /** First of its exemplars, -1 when it has none. */
  exemplarsFrom: number;
  /** Text of the resource's `service.instance.id`; empty when it has none. */
  instanceAt: number;
  instanceLength: number;
}

/** Characters of a series' name: with MOST_SERIES this bounds what names take. */
const MOST_TEXT = 160;
const TRACE_ID_BYTES = 16;

export class PointText {
  readonly #bytes: Buffer;
  readonly #reader: Reader;
  readonly #point = new PointView();
  readonly #value = emptyValue();

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#reader = new Reader(bytes);
  }

  /** `queue=orders, service.instance.id=pod-2`; cut where it is long, empty when nothing tells the series from others. */
  nameOf({ kind, at, end, instanceAt, instanceLength }: PointSource): string {
    this.#reader.pos = at;
    readPoint(this.#reader, end, kind, this.#point);
    const { attributes } = this.#point;
    const pairs: string[] = [];
    for (let i = 0; i < attributes.count; i++) {
      const keyAt = attributes.keyAt(i);
      const key = this.#bytes.toString('utf8', keyAt, keyAt + attributes.keyLength(i));
      pairs.push(`${key}=${this.#textOf(attributes.valueAt(i), attributes.valueEnd(i))}`);
    }
    if (instanceLength > 0)
      pairs.push(`service.instance.id=${this.#bytes.toString('utf8', instanceAt, instanceAt + instanceLength)}`);
    const name = pairs.join(', ');
    return name.length > MOST_TEXT ? `${name.slice(0, MOST_TEXT - 3)}...` : name;
  }

  #textOf(at: number, end: number): string {
    const value = this.#value;
    readValue(this.#reader, at, end, value);
    if (value.kind === 'string')
      return this.#bytes.toString('utf8', value.at, Math.min(value.end, value.at + MOST_TEXT));
    if (value.kind === 'bool') return String(value.number === 1);
    return value.kind === 'int' || value.kind === 'double' ? String(value.number) : value.kind;
  }

  /** Ids of up to `most` traces of exemplars made after `afterMs` (Unix) whose value `shows` what is looked for. */
  tracesOf(source: PointSource, afterMs: number, most: number, shows: (value: number) => boolean): string[] {
    const { kind, exemplarsFrom, end } = source;
    const reader = this.#reader;
    const traces: string[] = [];
    if (exemplarsFrom < 0) return traces;
    reader.pos = exemplarsFrom;
    while (reader.pos < end && traces.length < most) {
      const tag = readTag(reader, end);
      if (tag !== EXEMPLAR_TAGS[kind]) skipField(reader, tag, end);
      else {
        const trace = this.#traceOf(readEnd(reader, end), afterMs, shows);
        if (trace !== null) traces.push(trace);
      }
    }
    return traces;
  }

  /** Exemplar { fixed64 time = 2; double as_double = 3; bytes trace_id = 5; sfixed64 as_int = 6 } */
  #traceOf(end: number, afterMs: number, shows: (value: number) => boolean): string | null {
    const reader = this.#reader;
    let [timeMs, value, idAt] = [0, Number.NaN, NO_ID];
    while (reader.pos < end) {
      const tag = readTag(reader, end);
      if (tag === 42) {
        idAt = readId(reader, end, TRACE_ID_BYTES);
        continue;
      }
      skipField(reader, tag, end);
      const high = reader.view.getUint32(reader.pos - 4, true);
      const low = reader.view.getUint32(reader.pos - 8, true);
      if (tag === 17) timeMs = (high * 0x1_0000_0000 + low) / 1e6;
      else if (tag === 25) value = reader.view.getFloat64(reader.pos - 8, true);
      else if (tag === 49) value = (high | 0) * 0x1_0000_0000 + low;
    }
    if (idAt < 0 || (timeMs > 0 && timeMs <= afterMs) || !shows(value)) return null;
    return this.#bytes.toString('hex', idAt, idAt + TRACE_ID_BYTES);
  }
}
