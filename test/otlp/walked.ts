/** What the walkers see of a request, as plain data that can be held against protobufjs. */
import type { Signal } from '../../src/core/block.ts';
import { type AttributeTable, emptyValue, readValue } from '../../src/otlp/attributes.ts';
import { LogView, readLogRecord } from '../../src/otlp/logs.ts';
import { MetricView, readMetric } from '../../src/otlp/metrics.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { Envelope, walkItems } from '../../src/otlp/resource.ts';
import { readSpan, SpanView } from '../../src/otlp/traces.ts';
import type { Plain } from './generate.ts';

export interface Walked {
  item: Plain;
  resource: Plain[];
  scope: Plain[];
  service: string;
}

const wide = (low: number, high: number) => String((BigInt(high) << 32n) | BigInt(low));

/** Keys and scalar values as noted; `double` exact, `int` as the nearest double. */
export function attributesOf(buffer: Buffer, table: AttributeTable): Plain[] {
  const value = emptyValue();
  return Array.from({ length: table.count }, (_, i) => {
    const key = buffer.toString('utf8', table.keyAt(i), table.keyAt(i) + table.keyLength(i));
    readValue(new Reader(buffer), table.valueAt(i), table.valueEnd(i), value);
    const text = () => buffer.subarray(value.at, value.end);
    const shown =
      value.kind === 'string'
        ? text().toString()
        : value.kind === 'bytes'
          ? text().toString('hex')
          : value.kind === 'none' || value.kind === 'other'
            ? null
            : value.number;
    return { key, kind: value.kind, value: shown };
  });
}

/** Throws what the walkers throw. */
export function walk(signal: Signal, buffer: Buffer, at: number, end: number): Walked[] {
  const walked: Walked[] = [];
  const views = { traces: new SpanView(), logs: new LogView(), metrics: new MetricView() };
  const text = (from: number, length: number) => buffer.toString('utf8', from, from + length);
  const id = (from: number, length: number) => (from < 0 ? null : buffer.toString('hex', from, from + length));
  walkItems(new Reader(buffer), at, end, new Envelope(buffer), {
    enterResource() {},
    item(reader, from, to, envelope) {
      const envelopeParts = {
        resource: attributesOf(buffer, envelope.resource),
        scope: attributesOf(buffer, envelope.scope),
        service: text(envelope.serviceAt, envelope.serviceLength),
      };
      let item: Plain;
      if (signal === 'traces') {
        const { traces: view } = views;
        readSpan(reader, from, to, view);
        item = {
          traceId: id(view.traceIdAt, 16),
          spanId: id(view.spanIdAt, 8),
          name: text(view.nameAt, view.nameLength),
          kind: view.kind,
          status: view.status,
          start: wide(view.startLow, view.startHigh),
          end: wide(view.endLow, view.endHigh),
          traceState: view.traceStateTagAt < 0 ? '' : text(view.traceStateAt, view.traceStateEnd - view.traceStateAt),
          attributes: attributesOf(buffer, view.attributes),
        };
      } else if (signal === 'logs') {
        const { logs: view } = views;
        readLogRecord(reader, from, to, view);
        item = {
          traceId: id(view.traceIdAt, 16),
          severity: view.severity,
          time: wide(view.timeLow, view.timeHigh),
          body: view.bodyAt < 0 ? null : buffer.toString('hex', view.bodyAt, view.bodyEnd),
          attributes: attributesOf(buffer, view.attributes),
        };
      } else {
        const { metrics: view } = views;
        readMetric(reader, from, to, view);
        item = { name: text(view.nameAt, view.nameLength), points: view.points };
      }
      walked.push({ item, ...envelopeParts });
    },
  });
  return walked;
}

const hexOf = (base64: unknown) => Buffer.from(String(base64 ?? ''), 'base64').toString('hex');

/** An id as the walkers have it: hex, or null when its length is wrong or it is zero. */
export function validId(base64: unknown, length: number): string | null {
  const text = hexOf(base64);
  return text.length === length * 2 && /[^0]/.test(text) ? text : null;
}

/** Attributes of a decoded message in the shape of `attributesOf`. */
export function oracleAttributes(attributes: unknown): Plain[] {
  return ((attributes ?? []) as Plain[]).map(({ key, value }) => {
    const content = (value ?? {}) as Plain;
    const [kind] = Object.keys(content);
    const shown = kind === undefined ? null : content[kind];
    const name = key ?? '';
    switch (kind) {
      case undefined:
        return { key: name, kind: 'none', value: null };
      case 'stringValue':
        return { key: name, kind: 'string', value: shown };
      case 'bytesValue':
        return { key: name, kind: 'bytes', value: hexOf(shown) };
      case 'boolValue':
        return { key: name, kind: 'bool', value: Number(shown) };
      case 'intValue':
        return { key: name, kind: 'int', value: Number(shown) };
      case 'doubleValue':
        return { key: name, kind: 'double', value: Number(shown) };
      default:
        return { key: name, kind: 'other', value: null };
    }
  });
}
