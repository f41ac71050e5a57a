/** Holds src/otlp/reply.ts: every body decodes as what it should be, in both encodings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIGNALS } from '../../src/core/block.ts';
import { statusBody, successBody } from '../../src/otlp/reply.ts';
import { messageType } from '../../src/otlp/schema.ts';

const WORDS = {
  traces: ['ExportTraceServiceResponse', 'rejectedSpans'],
  metrics: ['ExportMetricsServiceResponse', 'rejectedDataPoints'],
  logs: ['ExportLogsServiceResponse', 'rejectedLogRecords'],
} as const;

test('full success is 0 bytes of protobuf or {}', () => {
  for (const signal of SIGNALS) {
    assert.equal(successBody(signal, { rejected: 0, warned: 0 }, false).length, 0);
    assert.equal(successBody(signal, { rejected: 0, warned: 0 }, true).toString(), '{}');
  }
});

test('partial success counts what was rejected, with a message; in JSON as a decimal string', () => {
  for (const signal of SIGNALS) {
    const [name, field] = WORDS[signal];
    const type = messageType(name);
    const { partialSuccess } = type.toObject(type.decode(successBody(signal, { rejected: 7, warned: 0 }, false)), {
      longs: String,
    });
    assert.equal(partialSuccess[field], '7');
    assert.ok(partialSuccess.errorMessage.length > 0);
    const json = JSON.parse(successBody(signal, { rejected: 7, warned: 0 }, true).toString());
    assert.strictEqual(json.partialSuccess[field], '7');
    assert.equal(json.partialSuccess.errorMessage, partialSuccess.errorMessage);
  }
});

test('a warning alone has 0 rejected and a message; beside rejected items the message says both', () => {
  for (const signal of ['metrics', 'logs'] as const) {
    const [name, field] = WORDS[signal];
    const type = messageType(name);
    const said = (rejected: number, json: boolean) => {
      const body = successBody(signal, { rejected, warned: 3 }, json);
      const plain = json ? JSON.parse(body.toString()) : type.toObject(type.decode(body), { longs: String });
      return [plain.partialSuccess[field] ?? '0', plain.partialSuccess.errorMessage];
    };
    for (const json of [false, true]) {
      assert.equal(said(0, json)[0], '0');
      assert.match(said(0, json)[1], /^3 (exemplars cut out|log records kept)/);
      assert.equal(said(2, json)[0], '2');
      assert.match(said(2, json)[1], /^2 .* rejected: .*; 3 /);
    }
  }
});

test('a status has the message, and details with BadRequest for bad data alone', () => {
  const status = messageType('Status');
  const details = messageType('BadRequest');
  const plain = status.toObject(status.decode(statusBody('no room', false, false)));
  assert.deepEqual(plain, { message: 'no room' });
  assert.deepEqual(JSON.parse(statusBody('no room', false, true).toString()), { message: 'no room' });
  const bad = status.toObject(status.decode(statusBody('bad', true, false)), { arrays: true });
  assert.equal(bad.details[0].typeUrl, 'type.googleapis.com/google.rpc.BadRequest');
  const violations = [{ field: 'body', description: 'bad' }];
  assert.deepEqual(details.toObject(details.decode(bad.details[0].value)), { fieldViolations: violations });
  assert.deepEqual(JSON.parse(statusBody('bad', true, true).toString()), {
    message: 'bad',
    details: [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: violations }],
  });
});
