/** The generator and the null receiver agree on what was sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNode } from '../../bench/child.ts';
import { dueAtMs, ReplyReader, type Report } from '../../bench/load.ts';

const pathOf = (name: string) => fileURLToPath(new URL(`../../bench/${name}`, import.meta.url));

for (const workload of ['W-small', 'W-mixed', 'W-gzip']) {
  test(`${workload}: every request is answered 200 and counted`, async () => {
    const server = startNode(null, [pathOf('null.ts')]);
    try {
      const [, url = ''] = await server.line(/^ready ingest=(\S+)/);
      const load = startNode(null, [
        pathOf('load.ts'),
        '--url',
        url,
        '--workload',
        workload,
        '--seconds',
        '0.2',
        '--batch',
        '20',
        '--connections',
        '3',
      ]);
      const [line] = await load.line(/^\{.*/);
      assert.equal(await load.exited, 0);
      // load.ts prints a Report.
      const { total, broken } = JSON.parse(line) as Report;
      assert.ok(total.requests > 0);
      assert.equal(total.items, total.requests * 20);
      assert.equal(total.traces + total.metrics + total.logs, total.items);
      assert.deepEqual([total.other, broken], [{}, 0]);
    } finally {
      await server.stop(5000);
    }
  });
}

test('a reply is read however it is cut', () => {
  const reply = Buffer.from('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nhello');
  for (let cut = 1; cut < reply.length; cut++) {
    const reader = new ReplyReader();
    const pieces = [reply.subarray(0, cut), reply.subarray(cut), reply];
    assert.deepEqual(
      pieces.map((piece) => reader.take(piece, piece.length)),
      [0, 503, 503],
    );
  }
});

test('an open loop comes at half the rate for half of the warm-up, then at all of it', () => {
  const due = (counter: number) => dueAtMs({ beganMs: 1000, everyMs: 2, rampMs: 100 }, counter);
  assert.deepEqual([0, 1, 24, 25, 26, 75].map(due), [1000, 1004, 1096, 1100, 1102, 1200]);
  const without = (counter: number) => dueAtMs({ beganMs: 1000, everyMs: 2, rampMs: 0 }, counter);
  assert.deepEqual([0, 1, 10].map(without), [1000, 1002, 1020]);
});
