/** What the kafka sink is configured with. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';

const text = (description: string) => Type.String({ minLength: 1, description });

export const Config = Type.Object({
  brokers: Type.Array(Type.String({ format: 'host_port' }), {
    minItems: 1,
    description: 'Brokers to begin with, HOST:PORT each.',
  }),
  client_id: Type.String({ default: 'plumbline', minLength: 1, description: 'What the brokers call this client.' }),
  acks: Type.Union([Type.Literal('all'), Type.Literal(1), Type.Literal(0)], {
    default: 'all',
    description:
      'Replicas that must have a record before it counts as delivered. 0 waits for none: records may be lost.',
  }),
  compression: Type.Union([Type.Literal('none'), Type.Literal('gzip'), Type.Literal('zstd')], {
    default: 'zstd',
    description: 'Codec of the record batches; zstd costs less CPU than none.',
  }),
  max_message_bytes: Type.Integer({
    default: 1_000_000,
    minimum: 4096,
    maximum: 100_000_000,
    description: 'Largest record; requests above it are split. At most the message.max.bytes of broker and topic.',
  }),
  key: Type.String({
    format: 'record_key',
    default: 'none',
    description:
      'Record key of raw and sampled: none, service, trace_id, or resource.NAME; requests of several keys are split. Others are keyed by service.',
  }),
  topic_values: Type.Record(
    Type.String(),
    Type.Array(
      Type.String({
        pattern: '^[A-Za-z0-9._-]{1,100}$',
        patternErrorMessage: 'must be up to 100 letters, digits, . _ -',
      }),
      { minItems: 1 },
    ),
    {
      default: {},
      description:
        'Values that each {resource.NAME} in a topic may take, by NAME; any other, and none, becomes `other`.',
    },
  ),
  metadata_max_age: Type.String({
    format: 'duration',
    default: '5m',
    description: 'How old what is known of topics and partitions may be before it is read again.',
  }),
  create_topics: Type.Union(
    [
      Type.Boolean(),
      Type.Object({
        partitions: Type.Optional(Type.Integer({ minimum: 1, description: 'Default: num.partitions of the broker.' })),
        replication_factor: Type.Optional(
          Type.Integer({ minimum: 1, description: 'Default: default.replication.factor of the broker.' }),
        ),
      }),
    ],
    { default: false, description: 'Create a missing topic: true, or partitions and replication_factor.' },
  ),
  reload_interval: Type.String({
    format: 'duration',
    default: '1m',
    description: 'How often the files of tls and sasl are looked at; changed ones are read for a new connection.',
  }),
  sasl: Type.Optional(
    Type.Object(
      {
        mechanism: Type.Union([Type.Literal('plain'), Type.Literal('scram-sha-256'), Type.Literal('scram-sha-512')], {
          description: 'How to log in.',
        }),
        username: text('User name.'),
        password: Type.Optional(text('Password; write it as ${env:NAME}.')),
        password_file: Type.Optional(text('File that holds the password; goes over `password`, and is reloaded.')),
      },
      { description: 'Log in; use it with tls.', anyOf: [{ required: ['password'] }, { required: ['password_file'] }] },
    ),
  ),
  tls: Type.Union(
    [
      Type.Boolean(),
      Type.Object({
        ca_file: Type.Optional(text('PEM file of the authorities to trust. Default: those of Node.')),
        cert_file: Type.Optional(text('PEM file of the certificate shown to the broker.')),
        key_file: Type.Optional(text('PEM file of its key.')),
      }),
    ],
    { default: false, description: 'Encrypt: true, or files.' },
  ),
});

export type KafkaConfig = Static<typeof Config> & { subscribe: Partial<Record<string, string>>; timeout: string };
