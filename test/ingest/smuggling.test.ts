/** Holds the fast path to node:http: bytes that could be cut in two ways, and mutated ones, are answered alike by both however they arrive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Random } from '../../bench/random.ts';
import { SEED, seeded } from '../otlp/generate.ts';
import { type Answers, byteByByte, deliver, type Side, split, startSide } from './sides.ts';

const TYPE = 'Content-Type: application/x-protobuf';
const post = (lines: string[], body = '', line = 'POST /v1/traces HTTP/1.1') =>
  [line, 'Host: a', TYPE, ...lines, '', body].join('\r\n');
const whole = (body: string, ...lines: string[]) => post([`Content-Length: ${body.length}`, ...lines], body);
const INNER = whole('inner');

/** Requests after which another one stands, so that a wrong end shows as another answer. */
const CASES: [name: string, bytes: string][] = [
  ['one request', whole('body')],
  ['an empty body', whole('')],
  ['two, pipelined', whole('one') + whole('two')],
  ['nine, pipelined', whole('x').repeat(9)],
  ['an odd one in the middle', whole('one') + whole('two', 'Odd: 1') + whole('three')],
  ['a query in the middle', whole('one') + post(['Content-Length: 1'], 'q', 'POST /v1/logs?x=1 HTTP/1.1') + whole('3')],
  ['length and chunked', post(['Content-Length: 5', 'Transfer-Encoding: chunked'], `0\r\n\r\n${INNER}`)],
  ['chunked and length', post(['Transfer-Encoding: chunked', 'Content-Length: 5'], `0\r\n\r\n${INNER}`)],
  ['chunked', post(['Transfer-Encoding: chunked'], `4\r\nbody\r\n0\r\n\r\n${INNER}`)],
  ['chunked, behind a fast one', whole('one') + post(['Transfer-Encoding: chunked'], `1\r\nx\r\n0\r\n\r\n${INNER}`)],
  ['chunked, written oddly', post(['Content-Length: 5', 'Transfer-Encoding : chunked'], `0\r\n\r\n${INNER}`)],
  ['chunked, with a tab', post(['Content-Length: 5', 'Transfer-Encoding:\tchunked'], `0\r\n\r\n${INNER}`)],
  ['chunked, another coding', post(['Content-Length: 5', 'Transfer-Encoding: xchunked'], `0\r\n\r\n${INNER}`)],
  ['chunked, folded', post(['Content-Length: 5', 'Transfer-Encoding:', ' chunked'], `0\r\n\r\n${INNER}`)],
  ['chunked, behind a bare LF', post(['Content-Length: 5', 'X-A: b\nTransfer-Encoding: chunked'], `0\r\n\r\n${INNER}`)],
  ['chunked, behind a bare CR', post(['Content-Length: 5', 'X-A: b\rTransfer-Encoding: chunked'], `0\r\n\r\n${INNER}`)],
  ['two lengths', post(['Content-Length: 5', 'Content-Length: 0'], `hello${INNER}`)],
  ['two lengths alike', post(['Content-Length: 5', 'Content-Length: 5'], `hello${INNER}`)],
  ['a list of lengths', post(['Content-Length: 5, 5'], `hello${INNER}`)],
  ['a signed length', post(['Content-Length: +5'], `hello${INNER}`)],
  ['a negative length', post(['Content-Length: -5'], `hello${INNER}`)],
  ['a length with zeros before it', post(['Content-Length: 005'], `hello${INNER}`)],
  ['a length in hex', post(['Content-Length: 0x5'], `hello${INNER}`)],
  ['a length with a space in it', post(['Content-Length: 5 5'], `hello${INNER}`)],
  ['a length with a space behind it', post(['Content-Length: 5 '], `hello${INNER}`)],
  ['a length with a tab before it', post(['Content-Length:\t5'], `hello${INNER}`)],
  ['a length with a space before its colon', post(['Content-Length : 5'], `hello${INNER}`)],
  ['a length without a number', post(['Content-Length:'], INNER)],
  ['a length over 2^64', post(['Content-Length: 18446744073709551621'], `hello${INNER}`)],
  ['a length over the limit', post(['Content-Length: 9999999999'], `hello${INNER}`)],
  ['a length under another name', post(['Content_Length: 5', 'Content-Length: 0'], INNER)],
  ['a length with a NUL', post(['Content-Length: 5\0'], `hello${INNER}`)],
  ['no length', post([], INNER)],
  ['a short body', whole('one') + post(['Content-Length: 50'], 'short')],
  ['a folded header', post(['X-A: b', ' c', 'Content-Length: 5'], `hello${INNER}`)],
  ['LF alone everywhere', whole('hello').replaceAll('\r\n', '\n') + INNER],
  [
    'a head that ends in LF LF',
    `${['POST /v1/traces HTTP/1.1', 'Host: a', TYPE, 'Content-Length: 5'].join('\r\n')}\n\nhello${INNER}`,
  ],
  ['CR CR LF', post(['X-A: b\r', 'Content-Length: 5'], `hello${INNER}`)],
  ['an empty line before', `\r\n${whole('one')}\r\n${INNER}`],
  ['bytes over 127', post(['X-A: \xe4', 'Content-Length: 5'], `hello${INNER}`)],
  ['a control character', post(['X-A: a\x01b', 'Content-Length: 5'], `hello${INNER}`)],
  ['a NUL in a name', post(['X\0A: b', 'Content-Length: 5'], `hello${INNER}`)],
  ['a space in a name', post(['X A: b', 'Content-Length: 5'], `hello${INNER}`)],
  ['a name without a colon', post(['Nonsense', 'Content-Length: 5'], `hello${INNER}`)],
  ['an empty value', post(['X-A:', 'Content-Length: 5'], `hello${INNER}`)],
  ['values without a space', post(['X-A:b', 'Content-Length:5'], `hello${INNER}`)],
  ['values with many spaces', post(['X-A:    b c', 'Content-Length:    5'], `hello${INNER}`)],
  ['names in any case', post(['cOnTeNt-LeNgTh: 5'], `hello${INNER}`)],
  ['HTTP/1.0', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces HTTP/1.0')],
  ['HTTP/1.0 behind a fast one', whole('one') + post(['Content-Length: 5'], 'hello', 'POST /v1/traces HTTP/1.0')],
  ['HTTP/1.2', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces HTTP/1.2')],
  ['HTTP/2.0', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces HTTP/2.0')],
  ['no version', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces')],
  ['two spaces', post(['Content-Length: 5'], `hello${INNER}`, 'POST  /v1/traces HTTP/1.1')],
  ['a space behind the version', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces HTTP/1.1 ')],
  ['a method in lower case', post(['Content-Length: 5'], `hello${INNER}`, 'post /v1/traces HTTP/1.1')],
  ['another method', post(['Content-Length: 5'], `hello${INNER}`, 'PUT /v1/traces HTTP/1.1')],
  ['an absolute target', post(['Content-Length: 5'], `hello${INNER}`, 'POST http://a/v1/traces HTTP/1.1')],
  ['another path', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/trace HTTP/1.1')],
  ['a path with a fragment', post(['Content-Length: 5'], `hello${INNER}`, 'POST /v1/traces#x HTTP/1.1')],
  ['CONNECT', post(['Content-Length: 5'], `hello${INNER}`, 'CONNECT a:1 HTTP/1.1')],
  ['CONNECT behind a fast one', whole('one') + post([], '', 'CONNECT a:1 HTTP/1.1')],
  ['an upgrade', whole('hello', 'Connection: Upgrade', 'Upgrade: h2c') + INNER],
  ['an upgrade behind a fast one', whole('one') + whole('hello', 'Connection: Upgrade', 'Upgrade: websocket') + INNER],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['the first bytes of TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
  ['close', whole('one', 'Connection: close') + INNER],
  ['close behind a fast one', whole('one') + whole('two', 'Connection: close') + INNER],
  ['keep-alive', whole('one', 'Connection: keep-alive') + whole('two', 'Connection: Keep-Alive')],
  ['two connection headers', whole('one', 'Connection: keep-alive', 'Connection: close') + INNER],
  ['a list in the connection header', whole('one', 'Connection: keep-alive, close') + INNER],
  ['close under an old name', whole('one', 'Proxy-Connection: close') + INNER],
  ['an expectation', whole('body', 'Expect: 100-continue') + INNER],
  ['another expectation', whole('body', 'Expect: nonsense') + INNER],
  ['a trailer', whole('body', 'Trailer: X-A') + INNER],
  ['no host', whole('body').replace('Host: a\r\n', '') + INNER],
  ['no host behind a fast one', whole('one') + whole('body').replace('Host: a\r\n', '') + INNER],
  ['an empty host', whole('body').replace('Host: a', 'Host:') + INNER],
  ['two hosts', whole('body', 'Host: b') + INNER],
  ['two content types', whole('body', 'Content-Type: application/json') + INNER],
  ['two encodings', whole('body', 'Content-Encoding: gzip', 'Content-Encoding: identity') + INNER],
  ['an encoding that is not taken', whole('body', 'Content-Encoding: br') + INNER],
  ['an origin', whole('body', 'Origin: https://a') + INNER],
  ['a token that nobody asks for', whole('body', 'Authorization: Bearer x') + INNER],
  ['two tokens', whole('body', 'Authorization: Bearer x', 'Authorization: Bearer y') + INNER],
  ['a type that is not taken', whole('body').replace('x-protobuf', 'grpc') + INNER],
  ['a type that is not taken, half a body', post(['Content-Length: 50'], 'half').replace('x-protobuf', 'grpc')],
  ['long headers', whole('body', `X-A: ${'x'.repeat(9000)}`) + INNER],
  ['headers that are too long', whole('body', `X-A: ${'x'.repeat(17_000)}`)],
  ['many headers', whole('body', ...Array.from({ length: 500 }, (_, i) => `X-${i}: a`)) + INNER],
  ['prototype keys', whole('body', 'X-__proto__: 1', '__proto__: 1', 'constructor: 1') + INNER],
  ['a body that looks like a request', whole(INNER) + whole('after')],
  ['a body with empty lines', whole('\r\n\r\n\r\n') + whole('after')],
  ['nothing', ''],
  ['a space', ' '],
];

async function bothSides(t: Parameters<typeof startSide>[0]): Promise<{ fast: Side; node: Side }> {
  const cors = { allowedOrigins: ['https://a'], allowedHeaders: [], maxAgeS: 1 };
  return { fast: await startSide(t, true, { cors }), node: await startSide(t, false, { cors }) };
}

const places = (random: Random, bytes: Uint8Array) =>
  Array.from({ length: 1 + random.below(6) }, () => random.below(bytes.length + 1));

/**
 * node:http, given one byte after the other, says what is right, and byte by byte both must say it. Given several at once node:http may say
 * less: what it cannot parse behind a request in work, or what stands behind a last request, ends the connection before that one is answered,
 * or not, as it gets the bytes. So a beginning of what is right is allowed where the end closes the connection, or where node:http, given the
 * same pieces, does not say all either.
 */
async function hold(
  { fast, node }: { fast: Side; node: Side },
  bytes: Buffer,
  cuts: readonly number[],
): Promise<Answers> {
  const [right, got] = await Promise.all([deliver(node, byteByByte(bytes)), deliver(fast, byteByByte(bytes))]);
  assert.deepEqual(got, right, 'byte by byte');
  for (const pieces of [[bytes], split(bytes, cuts)]) {
    const [quick, slow] = await Promise.all([deliver(fast, pieces), deliver(node, pieces)]);
    const mayBeCut = right.replies.at(-1)?.includes('connection: close') || !isDeepStrictEqual(slow, right);
    if (mayBeCut && isBeginning(quick.replies, right.replies) && isBeginning(quick.bodies, right.bodies)) continue;
    assert.deepEqual(quick, right, `${pieces.length} pieces, cut at ${cuts.join(', ')}`);
  }
  return right;
}

const isBeginning = (list: string[], of: string[]) => isDeepStrictEqual(list, of.slice(0, list.length));

test('what could be read in two ways is answered as node:http does, in one piece, byte by byte and cut anywhere', async (t) => {
  const random = seeded(t, 71);
  const sides = await bothSides(t);
  for (const [name, text] of CASES) {
    await t.test(name, async () => {
      const bytes = Buffer.from(text, 'latin1');
      await hold(sides, bytes, places(random, bytes));
    });
  }
});

/** Pieces of requests that mean something to a parser. */
const TELLING = [
  '\r\n',
  '\r',
  '\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  '0',
  '5',
  '\r\n\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Content-Length: 3\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Expect: 100-continue\r\n',
  'X-Some: thing\r\n',
  'Odd: thing\r\n',
  'HTTP/1.0',
  '0\r\n\r\n',
  INNER,
];

const mutation = fc.record({
  kind: fc.constantFrom('insert', 'remove', 'replace', 'repeat'),
  /** Of the bytes, in thousandths. */
  at: fc.integer({ min: 0, max: 999 }),
  length: fc.integer({ min: 1, max: 12 }),
  text: fc.oneof(fc.constantFrom(...TELLING), fc.string({ unit: 'binary', minLength: 1, maxLength: 2 })),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never;

function mutated(text: string, mutations: readonly Mutation[]): Buffer {
  let bytes = text;
  for (const { kind, at, length, text: more } of mutations) {
    const from = Math.floor((bytes.length * at) / 1000);
    const removed = kind === 'remove' || kind === 'replace' ? length : 0;
    const added = kind === 'remove' ? '' : kind === 'repeat' ? bytes.slice(from, from + length * 8) : more;
    bytes = bytes.slice(0, from) + added + bytes.slice(from + removed);
  }
  return Buffer.from(bytes, 'latin1');
}

test('mutated requests are answered as node:http does, however they are cut', async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const sides = await bothSides(t);
  const seeds = [whole('body') + INNER, whole('one', 'User-Agent: x', 'Connection: keep-alive') + whole('') + INNER];
  let taken = 0;
  let refused = 0;
  const property = fc.asyncProperty(
    fc.constantFrom(...seeds),
    fc.array(mutation, { minLength: 1, maxLength: 3 }),
    fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 5 }),
    async (text, mutations, cuts) => {
      const { replies } = await hold(sides, mutated(text, mutations), cuts);
      for (const reply of replies) reply.startsWith('200') ? taken++ : refused++;
    },
  );
  await fc.assert(property, {
    numRuns: 150,
    seed: SEED,
    interruptAfterTimeLimit: 120_000,
    markInterruptAsFailure: true,
  });
  t.diagnostic(`${taken} replies of success, ${refused} refusals`);
  assert.ok(taken > 50 && refused > 50, 'the mutations are too wild, or too tame');
});
