/** Holds src/otlp/logs.ts: the walker sees of a log record what protobufjs sees. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogView, readLogRecord } from '../../src/otlp/logs.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { decoded, encodeRequest, generated, itemsOf, placed, request, seeded } from './generate.ts';
import { oracleAttributes, validId, walk } from './walked.ts';

test('log records are seen as protobufjs decodes them: trace id, severity, time, body, attributes', (t) => {
  const random = seeded(t, 2);
  const value = messageType('AnyValue');
  let records = 0;
  for (let i = 0; i < generated(1500); i++) {
    const bytes = encodeRequest('logs', request(random, 'logs'), random);
    const { buffer, at, end } = placed(bytes, 0xff);
    const wanted = itemsOf('logs', decoded('logs', bytes));
    const seen = walk('logs', buffer, at, end);
    assert.equal(seen.length, wanted.length, `case ${i}`);
    for (const [j, { item, resource, scope }] of wanted.entries()) {
      const own = item.timeUnixNano ?? '0';
      const { body, ...rest } = seen[j]?.item ?? {};
      assert.deepEqual(rest, {
        traceId: validId(item.traceId, 16),
        severity: item.severityNumber ?? 0,
        // Without a time of its own a record has the one it was observed at.
        time: own === '0' ? (item.observedTimeUnixNano ?? '0') : own,
        attributes: oracleAttributes(item.attributes),
      });
      assert.equal(body === null, item.body === undefined || item.body === null);
      if (typeof body === 'string') {
        const shown = value.toObject(value.decode(Buffer.from(body, 'hex')), {
          longs: String,
          bytes: String,
          json: true,
          arrays: true,
        });
        assert.deepEqual(shown, item.body);
      }
      assert.deepEqual(seen[j]?.resource, oracleAttributes(resource?.attributes));
      assert.deepEqual(seen[j]?.scope, oracleAttributes(scope?.attributes));
      records++;
    }
  }
  assert.ok(records > 1000, `only ${records} records were generated`);
});

test('a body is read in every length, and what is cut off is refused, whatever lies behind the record', () => {
  const read = (hex: string) => {
    const bytes = Buffer.from(`${hex}${'01'.repeat(200)}`, 'hex');
    const log = new LogView();
    readLogRecord(new Reader(bytes), 0, hex.length / 2, log);
    return log;
  };
  for (const length of [0, 1, 125, 126, 127, 128, 300]) {
    const any = messageType('AnyValue')
      .encode({ stringValue: 'x'.repeat(length) })
      .finish();
    const record = messageType('LogRecord')
      .encode({ body: messageType('AnyValue').decode(any), severityNumber: 17 })
      .finish();
    const log = read(Buffer.from(record).toString('hex'));
    assert.deepEqual([log.bodyEnd - log.bodyAt, log.severity], [any.length, 17], `${length} bytes`);
  }
  assert.deepEqual(read('10114501000000').severity, 17);
  for (const cut of ['2a030a02', '2a7f0a7d', '450100', '45010000', '59010203', '09', '4a10abab', '5208cd', '1a05'])
    assert.throws(() => read(cut), { code: 'BODY_UNDECODABLE' }, cut);
});
