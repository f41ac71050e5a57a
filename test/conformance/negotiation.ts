/** Rows B: types, codings, and what neither may be. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { raw, send, statusOf, wire } from './client.ts';
import { post, type Row, refused, succeeded, valid } from './row.ts';

const JSON_ONLY = ['json'] as const;
const PROTOBUF_ONLY = ['protobuf'] as const;
const GZIP = { 'content-encoding': 'gzip' };

export const NEGOTIATION: Row[] = [
  {
    id: 'B1',
    strength: 'M',
    request: 'application/x-protobuf',
    expected: 'the reply has exactly that type, errors too',
    encodings: PROTOBUF_ONLY,
    async run(c) {
      succeeded(c, await post(c, valid(c)));
      refused(c, await post(c, Buffer.from([0xff])), 400);
    },
  },
  {
    id: 'B2',
    strength: 'M',
    request: 'application/json',
    expected: 'the reply has exactly that type, errors too',
    encodings: JSON_ONLY,
    async run(c) {
      succeeded(c, await post(c, valid(c)));
      refused(c, await post(c, Buffer.from('{')), 400);
    },
  },
  {
    id: 'B3',
    strength: 'H',
    request: 'application/json; charset=utf-8',
    expected: '200',
    encodings: JSON_ONLY,
    async run(c) {
      for (const type of [
        'application/json; charset=utf-8',
        'application/json;charset=UTF-8',
        'application/json ; x="y"',
      ])
        succeeded(c, await post(c, valid(c), { 'content-type': type }));
    },
  },
  {
    id: 'B4',
    strength: 'H',
    request: 'Application/JSON, APPLICATION/X-PROTOBUF',
    expected: '200',
    async run(c) {
      const type = c.isJson ? 'Application/JSON' : 'APPLICATION/X-Protobuf';
      succeeded(c, await post(c, valid(c), { 'content-type': type }));
    },
  },
  {
    id: 'B5',
    strength: 'M',
    request: 'no Content-Type',
    expected: '415 with a Status in JSON',
    encodings: JSON_ONLY,
    async run(c) {
      refused(c, await send(c.url + c.path, { body: valid(c) }), 415);
    },
  },
  {
    id: 'B6',
    strength: 'M',
    request: 'text/plain, application/grpc, octet-stream',
    expected: '415 with a Status',
    encodings: JSON_ONLY,
    async run(c) {
      for (const type of [
        'text/plain',
        'application/grpc',
        'application/octet-stream',
        'application/jsonp',
        'text/json',
      ])
        refused(c, await post(c, valid(c), { 'content-type': type }), 415);
    },
  },
  {
    id: 'B7',
    strength: 'H',
    request: 'junk behind the subtype',
    expected: '415, never decoded',
    async run(c) {
      for (const junk of [' garbage', '\tgarbage', '\t;', ',', '/x', '=1', ' garbage; charset=utf-8']) {
        const reply = await post(c, valid(c), { 'content-type': c.type + junk });
        assert.equal(reply.status, 415, JSON.stringify(junk));
        const isJson = reply.headers['content-type'] === 'application/json';
        assert.ok(statusOf(reply, isJson).message.length > 0);
      }
      c.atSink((items) => assert.equal(items.length, 0));
    },
  },
  {
    id: 'B8',
    strength: 'M',
    request: 'gzip',
    expected: '200',
    async run(c) {
      succeeded(c, await post(c, gzipSync(valid(c, 50)), GZIP));
      c.atSink((items) => assert.equal(items.length, 50));
    },
  },
  {
    id: 'B9',
    strength: 'M',
    request: 'no Content-Encoding; identity',
    expected: '200',
    async run(c) {
      succeeded(c, await post(c, valid(c)));
      succeeded(c, await post(c, valid(c), { 'content-encoding': 'identity' }));
    },
  },
  {
    id: 'B10',
    strength: 'H',
    request: 'br; an unknown coding',
    expected: '415, Accept-Encoding names gzip',
    async run(c) {
      for (const coding of ['br', 'compress', 'nonsense']) {
        const reply = await post(c, valid(c), { 'content-encoding': coding });
        refused(c, reply, 415);
        assert.match(String(reply.headers['accept-encoding']), /\bgzip\b/);
      }
    },
  },
  {
    id: 'B11',
    strength: 'O',
    request: 'gzip, gzip',
    expected: '415',
    async run(c) {
      refused(c, await post(c, gzipSync(gzipSync(valid(c))), { 'content-encoding': 'gzip, gzip' }), 415);
      const body = gzipSync(gzipSync(valid(c)));
      const twice = `POST ${c.path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${c.type}\r\nContent-Length: ${body.length}\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n`;
      const { replies } = await raw(c.url, Buffer.concat([Buffer.from(twice), body]));
      assert.equal(replies[0]?.status, 415);
    },
  },
  {
    id: 'B12',
    strength: 'H',
    request: 'GZIP, x-gzip',
    expected: '200',
    async run(c) {
      for (const coding of ['GZIP', 'x-gzip', 'Gzip'])
        succeeded(c, await post(c, gzipSync(valid(c)), { 'content-encoding': coding }));
    },
  },
  {
    id: 'B13',
    strength: 'M',
    request: 'gzip said, body plain',
    expected: '400',
    async run(c) {
      refused(c, await post(c, valid(c), GZIP), 400);
    },
  },
  {
    id: 'B14',
    strength: 'M',
    request: 'gzip cut off; of two members; with garbage behind it',
    expected: '400; 200; 400',
    async run(c) {
      const body = valid(c, 4);
      const packed = gzipSync(body);
      for (const end of [1, 10, packed.length >> 1, packed.length - 1])
        refused(c, await post(c, packed.subarray(0, end), GZIP), 400);
      const half = body.length >> 1;
      const members = Buffer.concat([gzipSync(body.subarray(0, half)), gzipSync(body.subarray(half))]);
      succeeded(c, await post(c, members, GZIP));
      for (const garbage of ['garbage', '\0\0\0\0'])
        refused(c, await post(c, Buffer.concat([packed, Buffer.from(garbage)]), GZIP), 400);
      c.atSink((items) => assert.equal(items.length, 4));
    },
  },
  {
    id: 'B15',
    strength: 'Y',
    request: 'Accept-Encoding: gzip, and without',
    expected: 'may be gzip; never gzip',
    async run(c) {
      const plain = await post(c, valid(c));
      assert.equal(plain.headers['content-encoding'], undefined);
      succeeded(c, plain);
      const may = await post(c, valid(c), { 'accept-encoding': 'gzip' });
      assert.equal(may.status, 200);
      assert.ok([undefined, 'identity', 'gzip'].includes(may.headers['content-encoding'] as string | undefined));
      const body = wire(
        'POST',
        c.path,
        { 'Content-Type': c.type, 'Content-Length': 1, Connection: 'close' },
        Buffer.from([0xff]),
      );
      assert.equal((await raw(c.url, body)).replies[0]?.headers['content-encoding'], undefined);
    },
  },
];
