/** Holds src/worker/seen.ts: what sampling adds to a log record leaves it the one that it was, however odd its attributes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogView, readLogRecord } from '../../src/otlp/logs.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { createSeen, Seen } from '../../src/worker/seen.ts';
import type { Plain } from '../otlp/generate.ts';

const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });

function recordOf(attributes: readonly Plain[]): Buffer {
  const type = messageType('LogRecord');
  return Buffer.from(type.encode(type.fromObject({ timeUnixNano: 5, attributes })).finish());
}

function isSeen(kept: Buffer, came: Buffer): boolean {
  const memory = createSeen(1);
  const log = new LogView();
  readLogRecord(new Reader(kept), 0, kept.length, log);
  new Seen(memory, kept).addLog(log);
  readLogRecord(new Reader(came), 0, came.length, log);
  return new Seen(memory, came).hasLog(log);
}

for (const [what, attributes] of [
  ['without attributes', []],
  ['with some', [text('a', 'b'), { key: 'c' }, text('', 'd')]],
  ['with empty ones', [{}, text('a', 'b'), {}]],
  ['with more than are noted', Array.from({ length: 1100 }, (_, i) => text(`key ${i}`, 'v'))],
] as const) {
  test(`a log record ${what} is known again by what sampling has made of it, and no other is`, () => {
    const kept = recordOf([
      ...attributes,
      text('plumbline.kept', 'base'),
      text('sampling.threshold', '8'),
      text('sampling.randomness', 'f'.repeat(14)),
    ]);
    assert.ok(isSeen(kept, recordOf(attributes)));
    assert.ok(isSeen(kept, recordOf([text('sampling.threshold', '4'), ...attributes])));
    assert.ok(!isSeen(kept, recordOf([...attributes, text('other', '8')])));
  });
}
