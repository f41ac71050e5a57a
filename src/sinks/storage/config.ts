/** What the storage sink is configured with. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';

const duration = Type.String({ format: 'positive_duration' });
const bytes = Type.String({ format: 'positive_bytes' });

const S3 = Type.Object(
  {
    bucket: Type.String({ minLength: 1, description: 'Name of the bucket.' }),
    prefix: Type.String({ default: '', description: 'What keys begin with.' }),
    region: Type.String({ default: '', description: 'Region. Empty: what the credentials chain says.' }),
    endpoint: Type.String({
      default: '',
      pattern: '^(https?://[^\\s]+)?$',
      patternErrorMessage: 'must be a URL such as http://minio:9000',
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

export const Config = Type.Object({
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

export type S3Config = Static<typeof S3>;
export type StorageConfig = Static<typeof Config> & { timeout: string; retry: { initial: string; max: string } };
