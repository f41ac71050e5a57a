/** Spans, log records and data points as conditions see them. */
import type { Value } from '../otlp/attributes.ts';
import type { LogView } from '../otlp/logs.ts';
import type { PointView } from '../otlp/points.ts';
import type { Reader } from '../otlp/protobuf.ts';
import type { SpanView } from '../otlp/traces.ts';
import type { EnumKey, Intrinsic, Item } from './lookup.ts';

class SpanItem implements Item {
  attributes;
  span: SpanView;
  constructor(span: SpanView) {
    this.span = span;
    this.attributes = span.attributes;
  }
  enumOf(key: EnumKey): number {
    return key === 'status' ? this.span.status : this.span.kind;
  }
  intrinsic(key: Intrinsic, value: Value): void {
    if (key === 'span.name') {
      value.kind = 'string';
      value.at = this.span.nameAt;
      value.end = this.span.nameAt + this.span.nameLength;
    } else if (key === 'span.kind' || key === 'status') {
      value.kind = 'int';
      value.number = this.enumOf(key);
    }
  }
}

class LogItem implements Item {
  attributes;
  log: LogView;
  reader: Reader;
  constructor(log: LogView, reader: Reader) {
    this.log = log;
    this.attributes = log.attributes;
    this.reader = reader;
  }
  enumOf(): number {
    return -1;
  }
  intrinsic(key: Intrinsic, value: Value): void {
    if (key === 'severity') {
      value.kind = 'int';
      value.number = this.log.severity;
    } else if (key === 'body' && this.log.bodyAt >= 0 && this.reader.bytes[this.log.bodyAt] === 10) {
      value.kind = 'string';
      value.end = this.log.bodyEnd;
      // A string body is tag, length, text to the end.
      let at = this.log.bodyAt + 1;
      while ((this.reader.bytes[at] as number) > 0x7f) at++;
      value.at = at + 1;
    }
  }
}

/** A data point has no intrinsic keys. */
class PointItem implements Item {
  attributes;
  constructor(point: PointView) {
    this.attributes = point.attributes;
  }
  enumOf(): number {
    return -1;
  }
  intrinsic(): void {}
}

/** Spans and log records as conditions see them; the views are refilled, the items stay. */
export function createItems(span: SpanView, log: LogView, reader: Reader): { spanItem: Item; logItem: Item } {
  return { spanItem: new SpanItem(span), logItem: new LogItem(log, reader) };
}

export function createPointItem(point: PointView): Item {
  return new PointItem(point);
}
