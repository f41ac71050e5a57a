/** Holds splitRequest against protobufjs: pieces together hold what the request holds, however it is encoded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { messageType } from '../../src/otlp/schema.ts';
import { splitRequest, writeRope } from '../../src/otlp/split.ts';
import { decoded, list, type Plain, seeded } from './generate.ts';

const around = (tag: number, content: Uint8Array) => protobuf.Writer.create().uint32(tag).bytes(content).finish();

/** A request of one metric whose message is that of `parts`, one behind the other. */
function requestOf(parts: Plain[]): Uint8Array {
  const type = messageType('Metric');
  const metric = Buffer.concat(parts.map((part) => type.encode(type.fromObject(part)).finish()));
  return around(10, around(18, around(18, metric)));
}

/** Each point with all that its metric says beside it. */
function pointsOf(request: Uint8Array): Plain[] {
  const metrics = list(decoded('metrics', request).resourceMetrics)
    .flatMap(({ scopeMetrics }) => list(scopeMetrics))
    .flatMap((scope) => list(scope.metrics));
  return metrics.flatMap(({ gauge, sum, ...words }) => {
    const { dataPoints, ...beside } = (gauge ?? sum ?? {}) as Plain;
    return list(dataPoints).map((point) => ({ ...words, kind: sum === undefined ? 'gauge' : 'sum', ...beside, point }));
  });
}

test('data that stands in a metric several times is one message in every piece, and of several kinds the last one counts', (t) => {
  const random = seeded(t, 77);
  let number = 0;
  const data = (): Plain => {
    const dataPoints = Array.from({ length: random.below(5) }, () => ({
      asDouble: number++,
      attributes: [{ key: 'series', value: { stringValue: 'x'.repeat(random.below(60)) } }],
    }));
    if (random.below(3) === 0) return { gauge: { dataPoints } };
    const temporality = random.below(2) === 0 ? {} : { aggregationTemporality: 2 };
    return { sum: { dataPoints, ...temporality, ...(random.below(2) === 0 ? {} : { isMonotonic: true }) } };
  };
  for (let i = 0; i < 300; i++) {
    const parts = [{ name: 'm' }, ...Array.from({ length: 1 + random.below(4) }, data), { unit: 's' }];
    const request = requestOf(parts);
    const wanted = pointsOf(request);
    const bytes = Buffer.alloc(request.length * 100 + 1000);
    bytes.set(request);
    const pieces = splitRequest(bytes, 'metrics', 0, request.length, 40 + random.below(400), () => '');
    let at = request.length;
    const found = pieces.flatMap(({ content, items }) => {
      const from = at;
      at = writeRope(bytes, at, content);
      const points = pointsOf(bytes.subarray(from, at));
      assert.equal(items, points.length, 'what a piece is said to hold');
      return points;
    });
    assert.deepEqual(found, wanted);
  }
});
