/** Bodies that are small to send and large to read, by family, and what each should be answered. */
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';

export interface Bomb {
  name: string;
  body: Buffer;
  headers: Record<string, string>;
  statuses: readonly number[];
  /** A single worker may be held up by it for a second, once. */
  isHeavy: boolean;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const LARGE = 200 << 20;

export function makeBombs(): Bomb[] {
  const zeros = Buffer.alloc(LARGE);
  const coded = (coding: string) => ({ 'content-encoding': coding });
  const json = (name: string, text: string, ...statuses: number[]): Bomb => ({
    name,
    body: Buffer.from(text),
    headers: JSON_TYPE,
    statuses,
    isHeavy: true,
  });
  const wire = (name: string, body: Buffer, ...statuses: number[]): Bomb => ({
    name,
    body,
    headers: {},
    statuses,
    isHeavy: false,
  });
  const member = gzipSync(Buffer.alloc(1 << 20), { level: 1 });
  const spanRun = Buffer.alloc(8 << 20, Buffer.from([0x12, 0x00]));
  const attributeRun = Buffer.alloc(4 << 20, Buffer.from([0x4a, 0x00]));
  return [
    { name: 'gzip, 200 MiB of zeros', body: gzipSync(zeros), headers: coded('gzip'), statuses: [413], isHeavy: true },
    {
      name: 'gzip, 200 members',
      body: Buffer.concat(Array.from({ length: 200 }, () => member)),
      headers: coded('gzip'),
      statuses: [413],
      isHeavy: true,
    },
    {
      name: 'gzip in gzip',
      body: gzipSync(gzipSync(zeros)),
      headers: coded('gzip, gzip'),
      statuses: [415],
      isHeavy: true,
    },
    {
      name: 'zstd, 200 MiB of zeros',
      body: zstdCompressSync(zeros),
      headers: coded('zstd'),
      statuses: [413],
      isHeavy: true,
    },
    {
      name: 'deflate, 200 MiB of zeros',
      body: deflateSync(zeros),
      headers: coded('deflate'),
      statuses: [413],
      isHeavy: true,
    },
    json('JSON, 10^6 keys', `{${Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":0`).join(',')}}`, 200),
    json(
      'JSON, 200,000 integer-like keys',
      `{${Array.from({ length: 200_000 }, (_, i) => `"${i * 65_536}":0`).join(',')}}`,
      200,
    ),
    json('JSON, 10^6 arrays inside one another', `{"x":${'['.repeat(1_000_000)}`, 400),
    json('JSON, a string of 16 MB', `{"x":"${'\\u0041'.repeat(2_700_000)}"}`, 200),
    json(
      'JSON, numbers of 10^6 digits',
      `{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":${'9'.repeat(1_000_000)}e999999999}]}]}]}`,
      400,
    ),
    json('JSON, 10^6 empty resources', `{"resourceSpans":[${'{},'.repeat(1_000_000)}{}]}`, 200),
    wire('protobuf, groups inside one another', Buffer.alloc(1 << 20, 0x0b), 400),
    wire('protobuf, 4 million empty spans', enveloped(spanRun), 400),
    wire('protobuf, 2 million empty attributes', enveloped(field(0x12, attributeRun)), 200),
    wire('protobuf, a length of 2^63', Buffer.from('0affffffffffffffff7f', 'hex'), 400),
  ];
}

function enveloped(scope: Buffer): Buffer {
  return field(0x0a, field(0x12, scope));
}

function field(tag: number, content: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = content.length; rest > 0 || length.length === 0; rest >>>= 7)
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
