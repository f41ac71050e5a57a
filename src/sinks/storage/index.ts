/** The storage sink: files of whole export requests in a directory or a bucket, complete once they have their final name. */
import type { Static } from 'typebox';
import type { SinkContext, SinkDefinition } from '../../core/component.ts';
import { Type } from '../../core/type.ts';
import { parseBytes, parseDurationMs } from '../../core/units.ts';
import { createEncoder } from './encode.ts';

const duration = Type.String({ format: 'duration' });
const bytes = Type.String({ format: 'bytes' });

const DIRECTORY_EVERY_MS = 60_000;
const S3_EVERY_MS = 900_000;

const S3 = Type.Object(
  {
    bucket: Type.String({ minLength: 1, description: 'Name of the bucket.' }),
    prefix: Type.String({ default: '', description: 'What keys begin with.' }),
    region: Type.String({ default: '', description: 'Region. Empty: what the credentials chain says.' }),
    endpoint: Type.String({
      default: '',
      pattern: '^(https?://[^\\s]+)?$',
      description: 'URL of a server that is not of AWS. Empty: that of the region.',
    }),
    force_path_style: Type.Boolean({
      default: false,
      description: 'Write the bucket into the path instead of the host name, as most servers beside AWS want it.',
    }),
    server_side_encryption: Type.Union([Type.Literal('none'), Type.Literal('AES256'), Type.Literal('aws:kms')], {
      default: 'none',
      description: 'Encryption to ask for. none: that of the bucket.',
    }),
    kms_key_id: Type.String({ default: '', description: 'Key for aws:kms. Empty: that of the bucket.' }),
    storage_class: Type.String({ default: '', description: 'Storage class. Empty: STANDARD.' }),
  },
  {
    description:
      'Bucket to upload finished files to, instead of directory. Credentials come from where AWS tools look: environment, files, web identity, instance.',
  },
);

const Config = Type.Object({
  directory: Type.Optional(
    Type.String({ minLength: 1, description: 'Where the files go; created when it is missing.' }),
  ),
  s3: Type.Optional(S3),
  format: Type.Union([Type.Literal('otlp_proto'), Type.Literal('otlp_json')], {
    default: 'otlp_proto',
    description: 'otlp_proto: 4-byte big-endian length and an export request, repeated; otlp_json: one request a line.',
  }),
  compression: Type.Union([Type.Literal('none'), Type.Literal('gzip'), Type.Literal('zstd')], {
    default: 'zstd',
    description: 'Compression of the files.',
  }),
  rotate: Type.Object(
    {
      size: Type.String({ format: 'bytes', default: '128MiB', description: 'A file is finished at this size.' }),
      every: Type.Union([Type.Literal('auto'), duration], {
        default: 'auto',
        description: 'A file is finished at this age. auto: 1m, and 15m for s3.',
      }),
    },
    { default: {}, description: 'When a file is finished: whichever comes first.' },
  ),
  retain: Type.Object(
    {
      size: Type.Union([Type.Literal('none'), bytes], {
        default: '20GiB',
        description: 'The oldest finished files go when all together are larger; none keeps them.',
      }),
      age: Type.Union([Type.Literal('none'), duration], {
        default: '7d',
        description: 'Finished files go at this age; none keeps them.',
      }),
    },
    { default: {}, description: 'How long finished files are kept.' },
  ),
});

export type StorageConfig = Static<typeof Config> & { timeout: string; retry: { initial: string; max: string } };

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
        rotateMs: parseDurationMs(rotate.every) ?? (s3 === undefined ? DIRECTORY_EVERY_MS : S3_EVERY_MS),
        retainBytes: parseBytes(retain.size) ?? Number.POSITIVE_INFINITY,
        retainMs: parseDurationMs(retain.age) ?? Number.POSITIVE_INFINITY,
      },
      context,
      s3 === undefined ? null : await openUploads(s3, config as StorageConfig, context),
    );
  },
};

/** The SDK is loaded here: an agent without a bucket never does. */
async function openUploads(s3: Static<typeof S3>, { timeout, retry }: StorageConfig, context: SinkContext) {
  const [{ openBucket }, { Uploads }] = await Promise.all([import('./s3.ts'), import('./uploads.ts')]);
  const bucket = openBucket(s3, parseDurationMs(timeout) ?? 0);
  const waits = { initialMs: parseDurationMs(retry.initial) ?? 0, maxMs: parseDurationMs(retry.max) ?? 0 };
  return new Uploads(bucket, context.directory, s3.prefix, waits, (row, error) => context.fail(row, error));
}
