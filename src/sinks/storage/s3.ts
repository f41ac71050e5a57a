/** Puts finished files into a bucket, over the AWS SDK; loaded only for a storage sink that says `s3`. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { AgentError } from '../../core/errors.ts';

export interface BucketSettings {
  bucket: string;
  /** Empty: what the credentials chain finds, or us-east-1 with an endpoint of one's own. */
  region: string;
  endpoint: string;
  force_path_style: boolean;
  server_side_encryption: 'none' | 'AES256' | 'aws:kms';
  kms_key_id: string;
  storage_class: string;
}

export interface Bucket {
  /**
   * Puts a file under a key; its content is checked by CRC-32 on the other side. What was there is overwritten, so that a repeat changes
   * nothing. Rejects with SINK_RETRY, the answer in words.
   */
  put(path: string, key: string, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Smaller files are one request; of larger ones, so much is in memory at once. */
const PART_BYTES = 8 << 20;
/** What is written to a connection at once. */
const WRITE_BYTES = 64 << 10;
const CONNECT_MS = 10_000;

export function openBucket(settings: BucketSettings, timeoutMs: number): Bucket {
  const { bucket, region, endpoint, force_path_style, server_side_encryption, kms_key_id, storage_class } = settings;
  const found = region || (endpoint === '' ? undefined : 'us-east-1');
  const client = new S3Client({
    ...(found === undefined ? {} : { region: found }),
    ...(endpoint === '' ? {} : { endpoint }),
    forcePathStyle: force_path_style,
    requestHandler: {
      connectionTimeout: Math.min(CONNECT_MS, timeoutMs),
      // Of silence, not of the whole: a part takes minutes on a slow link, and one that is given up begins anew.
      socketTimeout: timeoutMs,
    },
  });
  client.middlewareStack.add((next) => (args) => next({ ...args, request: inPieces(args.request) }), {
    // Behind retries, which want a body that can be sent again.
    step: 'deserialize',
    priority: 'low',
  });
  const params = {
    Bucket: bucket,
    ...(server_side_encryption === 'none' ? {} : { ServerSideEncryption: server_side_encryption }),
    ...(kms_key_id === '' ? {} : { SSEKMSKeyId: kms_key_id }),
    // The SDK's type lists the classes it knows; a server may have others.
    ...(storage_class === '' ? {} : { StorageClass: storage_class as 'STANDARD' }),
  };
  return {
    async put(path, key, signal) {
      const body = createReadStream(path);
      const upload = new Upload({
        client,
        params: { ...params, Key: key, Body: body },
        partSize: PART_BYTES,
        queueSize: 1,
      });
      const abort = () => void upload.abort();
      signal.addEventListener('abort', abort, { once: true });
      try {
        await upload.done();
      } catch (cause) {
        throw new AgentError('SINK_RETRY', `s3://${bucket}: ${wordsOf(cause)}`, { retryable: true, cause });
      } finally {
        signal.removeEventListener('abort', abort);
        body.destroy();
      }
    },
    close: () => client.destroy(),
  };
}

/** Over TLS a connection is seen to move by writes that end alone: a part in one write would be silent for as long as it takes. */
function inPieces<Request>(request: Request): Request {
  // A request of HTTP; the stack types it as unknown.
  const { body } = request as { body?: unknown };
  if (!(body instanceof Uint8Array) || body.length <= WRITE_BYTES) return request;
  const made: Request = Object.create(Object.getPrototypeOf(request));
  return Object.assign(made as object, request, { body: Readable.from(piecesOf(body)) }) as Request;
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) yield bytes.subarray(at, at + WRITE_BYTES);
}

/** S3 says what is wrong in the error's name; where several addresses were tried the error has no message of its own. */
function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return wordsOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const name = ['Error', 'UnknownError'].includes(error.name) ? '' : error.name;
  return [name, error.message].filter((part) => part !== '' && part !== undefined).join(': ');
}
