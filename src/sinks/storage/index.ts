/** The storage sink: files of whole export requests in a directory or a bucket, complete once they have their final name. */
import type { SinkContext, SinkDefinition } from '../../core/component.ts';
import { parseBytes, parseDurationMs, parseTimerMs } from '../../core/units.ts';
import { Config, type S3Config, type StorageConfig } from './config.ts';
import { createEncoder } from './encode.ts';

const DIRECTORY_EVERY_MS = 60_000;
const S3_EVERY_MS = 900_000;

export const storage: SinkDefinition = {
  type: 'storage',
  summary: 'Writes files of OTLP requests to a directory or an S3 bucket.',
  config: Config,
  subscribe: 'list',
  namesFiles: true,
  concurrency: 1,
  // Each batch waits for the one before it, so at full load they have to be large.
  batchBytes: 4 << 20,
  // src/config.ts has validated all three against Config and the keys of every sink.
  fault: (config) => {
    const { directory, s3 } = config as StorageConfig;
    if (directory === undefined && s3 === undefined) return 'directory or s3 has to be set';
    return directory !== undefined && s3 !== undefined ? 'directory and s3 are both set: use two sinks' : null;
  },
  encoder: (config) => createEncoder(config as StorageConfig),
  open: async (config, context) => {
    const { directory, s3, format, compression, rotate, retain } = config as StorageConfig;
    const { createStorageWriter } = await import('./writer.ts');
    const extension = { otlp_proto: '.binpb', otlp_json: '.jsonl' }[format];
    return createStorageWriter(
      {
        directory: directory ?? context.directory,
        extension: extension + { none: '', gzip: '.gz', zstd: '.zst' }[compression],
        compression,
        rotateBytes: parseBytes(rotate.size) ?? 0,
        rotateMs: parseTimerMs(rotate.every) ?? (s3 === undefined ? DIRECTORY_EVERY_MS : S3_EVERY_MS),
        retainBytes: parseBytes(retain.size) ?? Number.POSITIVE_INFINITY,
        retainMs: parseDurationMs(retain.age) ?? Number.POSITIVE_INFINITY,
      },
      context,
      s3 === undefined ? null : await openUploads(s3, config as StorageConfig, context),
    );
  },
};

/** The SDK is loaded here: an agent without a bucket never does. */
async function openUploads(s3: S3Config, { timeout, retry }: StorageConfig, context: SinkContext) {
  const [{ openBucket }, { Uploads }] = await Promise.all([import('./s3.ts'), import('./uploads.ts')]);
  const bucket = openBucket(s3, parseTimerMs(timeout) ?? 0);
  const waits = { initialMs: parseTimerMs(retry.initial) ?? 0, maxMs: parseTimerMs(retry.max) ?? 0 };
  return new Uploads(bucket, context.directory, s3.prefix, waits, (row, error) => context.fail(row, error));
}
