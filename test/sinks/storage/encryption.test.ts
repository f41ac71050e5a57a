/** Holds what the storage sink asks a bucket for beside the bytes: encryption and storage class, with each request that makes an object. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { openBucket } from '../../../src/sinks/storage/s3.ts';
import { CREDENTIALS, startS3, unavailable } from '../../support/s3/server.ts';
import { temporaryFolder } from '../harness.ts';

const NONE = { server_side_encryption: 'none', kms_key_id: '', storage_class: '' } as const;
const ASKED = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id', 'x-amz-storage-class'];

before(() => Object.assign(process.env, CREDENTIALS, { AWS_EC2_METADATA_DISABLED: 'true' }));

interface Request {
  kind: string;
  headers: Record<string, string>;
}

function kindOf({ method, url }: IncomingMessage): string {
  const query = new URL(url ?? '', 'http://s3').searchParams;
  if (query.has('uploads')) return 'create';
  if (query.has('partNumber')) return 'part';
  return method === 'POST' ? 'complete' : 'put';
}

const REPLIES: Record<string, string> = {
  create: '<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>',
  complete: '<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>',
};

/** A server that takes everything and notes what it was asked for. versitygw keeps no keys and says nothing of them. */
async function recorder(t: TestContext): Promise<{ url: string; requests: Request[] }> {
  const requests: Request[] = [];
  const server = createServer((request, response) => {
    const kind = kindOf(request);
    const headers = Object.fromEntries(ASKED.map((name) => [name, request.headers[name]]).filter(([, value]) => value));
    requests.push({ kind, headers });
    request.resume().on('end', () => {
      response.writeHead(200, { etag: '"e"', 'content-type': 'application/xml' });
      response.end(REPLIES[kind] ?? '');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  // It listens on a port.
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests };
}

async function put(t: TestContext, url: string, bytes: number, asked: object): Promise<void> {
  const path = join(temporaryFolder(t), 'file');
  writeFileSync(path, randomBytes(bytes));
  const settings = { bucket: 'telemetry', prefix: '', region: '', endpoint: url, force_path_style: true, ...NONE };
  const bucket = openBucket({ ...settings, ...asked }, 5000);
  t.after(() => bucket.close());
  await bucket.put(path, 'key', new AbortController().signal);
}

test('an object is asked to be encrypted with the key that is configured, in the class that is configured', async (t) => {
  const { url, requests } = await recorder(t);
  await put(t, url, 100, { server_side_encryption: 'aws:kms', kms_key_id: 'key-1', storage_class: 'GLACIER_IR' });
  const headers = {
    'x-amz-server-side-encryption': 'aws:kms',
    'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
    'x-amz-storage-class': 'GLACIER_IR',
  };
  assert.deepEqual(requests, [{ kind: 'put', headers }]);
});

test('of a file in parts the request that begins it asks, once', async (t) => {
  const { url, requests } = await recorder(t);
  await put(t, url, (8 << 20) + 1, { server_side_encryption: 'AES256' });
  assert.deepEqual(requests, [
    { kind: 'create', headers: { 'x-amz-server-side-encryption': 'AES256' } },
    { kind: 'part', headers: {} },
    { kind: 'part', headers: {} },
    { kind: 'complete', headers: {} },
  ]);
});

test('nothing is asked for unless it is configured: the bucket decides', async (t) => {
  const { url, requests } = await recorder(t);
  await put(t, url, 100, {});
  assert.deepEqual(requests, [{ kind: 'put', headers: {} }]);
});

describe('with a real S3 server', { skip: unavailable() ?? false }, () => {
  for (const asked of [
    { server_side_encryption: 'AES256' },
    { server_side_encryption: 'aws:kms', kms_key_id: 'key-1' },
  ]) {
    test(`${asked.server_side_encryption} is no reason to refuse`, async (t) => {
      const s3 = await startS3(t);
      await put(t, s3.url, 100, asked);
      assert.deepEqual(s3.keys(), ['key']);
    });
  }
});
