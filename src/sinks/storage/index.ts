/** The storage sink: files of whole export requests in a directory, complete and synced once they have their final name. */
import type { Static } from 'typebox';
import type { SinkDefinition } from '../../core/component.ts';
import { Type } from '../../core/type.ts';
import { parseBytes, parseDurationMs } from '../../core/units.ts';
import { createEncoder } from './encode.ts';

const duration = Type.String({ format: 'duration' });
const bytes = Type.String({ format: 'bytes' });

const Config = Type.Object({
  directory: Type.String({ minLength: 1, description: 'Where the files go; created when it is missing.' }),
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
      every: Type.String({ format: 'duration', default: '1m', description: 'A file is finished at this age.' }),
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

export type StorageConfig = Static<typeof Config>;

export const storage: SinkDefinition = {
  type: 'storage',
  summary: 'Writes files of OTLP requests to a directory.',
  config: Config,
  subscribe: 'list',
  concurrency: 1,
  // Each batch waits for the one before it, so at full load they have to be large.
  batchBytes: 4 << 20,
  // src/config.ts has validated both against Config.
  encoder: (config) => createEncoder(config as StorageConfig),
  open: async (config, context) => {
    const { directory, format, compression, rotate, retain } = config as StorageConfig;
    const { createStorageWriter } = await import('./writer.ts');
    const extension = { otlp_proto: '.binpb', otlp_json: '.jsonl' }[format];
    return createStorageWriter(
      {
        directory,
        extension: extension + { none: '', gzip: '.gz', zstd: '.zst' }[compression],
        compression,
        rotateBytes: parseBytes(rotate.size) ?? 0,
        rotateMs: parseDurationMs(rotate.every) ?? 0,
        retainBytes: parseBytes(retain.size) ?? Number.POSITIVE_INFINITY,
        retainMs: parseDurationMs(retain.age) ?? Number.POSITIVE_INFINITY,
      },
      context,
    );
  },
};
