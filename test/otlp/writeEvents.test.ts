/** Holds src/otlp/writeEvents.ts: the types of numbers, which the transformer would let change from event to event. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
