/** Holds the reading of a repeated head to the reading of a first one: whatever follows a head, both say the same of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReadHead, type Head } from '../../src/ingest/head.ts';
import { seeded } from '../otlp/generate.ts';

const read = createReadHead({ traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' });

function headOf(lines: readonly string[], path = '/v1/traces'): string {
  return [`POST ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

const TYPE = 'Content-Type: application/x-protobuf';
const HEADS = [
  headOf(['Host: a', TYPE, 'Content-Length: 5']),
  headOf(['content-length:5', 'host: a', 'content-type: application/json', 'authorization: Bearer x'], '/v1/logs'),
  headOf(['Host: a', TYPE, 'X-Content-Length: 7', 'Content-Length:   1234567890', 'X-A: b', 'Content-Encoding: gzip']),
];

function first(text: string): Head {
  const head = read(Buffer.from(text, 'latin1'), text.length, null);
  assert.ok(head !== null, `no head: ${text}`);
  return head;
}

const told = (head: Head | null) => (head === null ? null : [head.signal, head.bodyAt, head.bodyBytes, head.headers]);

/** True when the head was taken. */
function hold(text: string, end: number, last: Head): boolean {
  const bytes = Buffer.from(text, 'latin1');
  const expected = read(bytes, end, null);
  assert.deepEqual(told(read(bytes, end, last)), told(expected), JSON.stringify(text.slice(0, end)));
  return expected !== null;
}

test('a head that differs from the last in its length alone is read, and again after it', () => {
  for (const text of HEADS) {
    let last = first(text);
    for (const length of ['0', '9', '10', '400000', '9999999999', '5']) {
      const bytes = Buffer.from(`${text.replace(/(\r\ncontent-length: *)\d+/i, `$1${length}`)}body`, 'latin1');
      const head = read(bytes, bytes.length, last);
      assert.ok(head !== null);
      assert.equal(head.bodyBytes, Number(length));
      assert.equal(bytes.toString('latin1', head.bodyAt), 'body');
      assert.equal(head.headers, last.headers, 'it was read as a first one');
      last = head;
    }
  }
});

test('lengths that are none are none after a head that had one', () => {
  for (const text of HEADS) {
    const last = first(text);
    for (const length of ['', '00', '05', '-1', '+1', '1 ', ' 1', '1 1', '0x1', '12345678901', '1e3', '1.0', '１'])
      hold(text.replace(/(\r\ncontent-length: *)\d+/i, `$1${length}`), text.length + 11, last);
  }
});

test('a head that is not whole yet, or longer than heads may be, is none after one either', () => {
  for (const text of HEADS) {
    const last = first(text);
    for (let end = 0; end <= text.length; end++) assert.equal(hold(text, end, last), end === text.length);
  }
  const padded = (bytes: number) => headOf(['Host: a', TYPE, 'Content-Length: 1', `X-A: ${'x'.repeat(bytes)}`]);
  const most = 8192 - padded(0).length;
  const last = first(padded(most));
  assert.equal(hold(padded(most), 8192, last), true);
  assert.equal(hold(padded(most).replace('Length: 1', 'Length: 12'), 8193, last), false);
});

test('after a head, any other bytes are read as a first head is', (t) => {
  const random = seeded(t, 77);
  const pick = <T>(all: readonly T[]): T => all[random.below(all.length)] as T;
  let taken = 0;
  const runs = 20_000;
  for (let run = 0; run < runs; run++) {
    const last = first(pick(HEADS));
    let text = random.below(8) === 0 ? pick(HEADS) : last.text.concat('\r\n\r\n');
    for (let changes = random.below(3); changes > 0; changes--) {
      const at = random.below(text.length);
      const more = pick([
        '',
        '0',
        '5',
        ' ',
        '\r',
        '\n',
        '\r\n',
        ':',
        'x',
        'X-B: c\r\n',
        'Content-Length: 1\r\n',
        '\0',
        '\xe4',
      ]);
      text = text.slice(0, at) + more + text.slice(at + random.below(3));
    }
    if (hold(`${text}body`, text.length + random.below(5), last)) taken++;
  }
  t.diagnostic(`${taken} of ${runs} were heads`);
  assert.ok(taken > runs / 4 && taken < runs * 0.9, 'the changes are too wild, or too tame');
});
