/** Holds the writer of the agent's own events against OpenTelemetry's transformer, and the types of their numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { EventRecord } from '../../src/core/otel.ts';
import { serializeEvents } from '../../src/otlp/writeEvents.ts';
import { decoded, itemsOf, list } from './generate.ts';

const EVENT = {
  name: 'plumbline.contract.state_changed',
  timeMs: 1_700_000_000_123,
  severity: 17,
  body: 'shop: errors healthy -> breached',
  resource: { 'service.name': 'shop', 'service.version': '1.4.2' },
};

test('what is written is what the transformer of the SDK writes', () => {
  const attributes = { 'signal.name': 'µs', 'signal.value': 0.071, frozen: true, 'trace.ids': ['a', 'b'], none: [] };
  const hrTime: [number, number] = [1_700_000_000, 123_000_000];
  const events = [
    { ...EVENT, attributes },
    { ...EVENT, attributes: {}, body: 'another' },
  ];
  const bySdk = ProtobufLogsSerializer.serializeRequest(
    events.map((event) => ({
      ...{ hrTime, hrTimeObserved: hrTime, droppedAttributesCount: 0 },
      ...{ eventName: event.name, severityNumber: event.severity, body: event.body, attributes: event.attributes },
      resource: resourceFromAttributes(event.resource),
      instrumentationScope: { name: 'plumbline' },
    })),
  );
  assert.ok(bySdk !== undefined);
  assert.deepEqual(decoded('logs', serializeEvents(events)), decoded('logs', bySdk));
});

test('a number is a double also when it is whole or nothing, a bigint an integer', () => {
  const attributes: EventRecord['attributes'] = { some: 0.5, whole: 3, nothing: 0, items: 812n };
  const [item] = itemsOf('logs', decoded('logs', serializeEvents([{ ...EVENT, attributes }])));
  assert.deepEqual(
    list(item?.item.attributes).map(({ key, value }) => [key, value]),
    [
      ['some', { doubleValue: 0.5 }],
      ['whole', { doubleValue: 3 }],
      ['nothing', { doubleValue: 0 }],
      ['items', { intValue: '812' }],
    ],
  );
});
