/** Holds src/otlp/metrics.ts: names and numbers of data points are protobufjs's, and attributes are validated down to exemplars. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { MetricView, readMetric } from '../../src/otlp/metrics.ts';
import { Reader } from '../../src/otlp/protobuf.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { decoded, encodeRequest, itemsOf, list, type Plain, placed, request, seeded } from './generate.ts';
import { walk } from './walked.ts';

const KINDS = ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'];

test('every kind of metric is seen with its name and its number of data points', (t) => {
  const random = seeded(t, 3);
  const points = new Map<string, number>();
  for (let i = 0; i < 1500; i++) {
    const bytes = encodeRequest('metrics', request(random, 'metrics'), random);
    const { buffer, at, end } = placed(bytes, 0xff);
    const wanted = itemsOf('metrics', decoded('metrics', bytes)).map(({ item }) => {
      const kind = KINDS.find((one) => item[one] !== undefined && item[one] !== null);
      const count = kind === undefined ? 0 : list((item[kind] as Plain).dataPoints).length;
      if (kind !== undefined) points.set(kind, (points.get(kind) ?? 0) + count);
      return { name: item.name ?? '', points: count };
    });
    assert.deepEqual(
      walk('metrics', buffer, at, end).map(({ item }) => item),
      wanted,
      `case ${i}`,
    );
  }
  for (const kind of KINDS) assert.ok((points.get(kind) ?? 0) > 50, `too few points of ${kind}`);
});

test('a broken attribute is refused wherever it hides: point, exemplar, metadata', () => {
  const type = messageType('Metric');
  const good = { key: 'k', value: { stringValue: 'marker' } };
  const exemplars = [{ filteredAttributes: [good] }];
  const places: Plain[] = [
    { metadata: [good] },
    { gauge: { dataPoints: [{ attributes: [good] }] } },
    { sum: { dataPoints: [{ exemplars }] } },
    { histogram: { dataPoints: [{ attributes: [good] }] } },
    { histogram: { dataPoints: [{ exemplars }] } },
    { exponentialHistogram: { dataPoints: [{ attributes: [good] }] } },
    { exponentialHistogram: { dataPoints: [{ exemplars }] } },
    { summary: { dataPoints: [{ attributes: [good] }] } },
  ];
  for (const place of places) {
    const bytes = Buffer.from(type.encode(type.fromObject(place)).finish());
    const reader = new Reader(bytes);
    readMetric(reader, 0, bytes.length, new MetricView());
    // The length of the text inside the AnyValue now leads behind it.
    bytes[bytes.indexOf('marker') - 1] = 7;
    assert.throws(
      () => readMetric(reader, 0, bytes.length, new MetricView()),
      (error) => error instanceof AgentError && error.code === 'BODY_UNDECODABLE',
      JSON.stringify(place),
    );
  }
});
