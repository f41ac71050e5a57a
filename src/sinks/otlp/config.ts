/** What the otlp sink is configured with. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';

const file = (description: string) => Type.String({ default: '', description });
const override = (signal: string) =>
  Type.String({
    default: '',
    pattern: '^(https?://[^\\s]+)?$',
    patternErrorMessage: 'must be a URL such as https://collector:4318/v1/traces',
    description: `Whole URL for ${signal}, where it is not below endpoint.`,
  });

export const Config = Type.Object({
  endpoint: Type.String({
    format: 'http_url',
    description: 'Where to send to; /v1/traces, /v1/metrics and /v1/logs are added to it.',
  }),
  traces_endpoint: override('traces'),
  metrics_endpoint: override('metrics'),
  logs_endpoint: override('logs'),
  compression: Type.Union([Type.Literal('none'), Type.Literal('gzip'), Type.Literal('zstd')], {
    default: 'gzip',
    description: 'Compression of the bodies; zstd costs less CPU, where the receiver knows it.',
  }),
  headers: Type.Record(Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }), Type.String(), {
    default: {},
    description: 'Headers of each request, such as Authorization; write secrets as ${env:NAME}.',
  }),
  max_request_body_size: Type.String({
    default: '4MiB',
    format: 'bytes',
    description:
      'Largest body before compression; requests above it are split. What the receiver refuses with 413 is split further.',
  }),
  tls: Type.Object(
    {
      ca_file: file('PEM file of the authorities to trust. Empty: those of Node.'),
      cert_file: file('PEM file of the certificate shown to the receiver.'),
      key_file: file('PEM file of its key.'),
      server_name: file('Name the certificate has to have, where it is not the host of endpoint.'),
      insecure_skip_verify: Type.Boolean({
        default: false,
        description: 'Take any certificate: everyone on the way may then read and change what is sent.',
      }),
      reload_interval: Type.String({
        format: 'duration',
        default: '1m',
        description: 'How often the files are looked at for changes.',
      }),
    },
    { default: {}, description: 'Encryption, when endpoint is https.' },
  ),
});

/** https://www.rfc-editor.org/rfc/rfc9110#section-5 */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const NO_HEADER_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** A header that Node would refuse with each request, for ever; null when there is none. Never says a value. */
export function headerFault(headers: Record<string, string>): string | null {
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(name)) return `headers: "${name}" is no name of a header`;
    const [bad] = NO_HEADER_VALUE.exec(value) ?? [];
    if (bad === undefined) continue;
    const what =
      bad === '\n' || bad === '\r'
        ? 'a line end: take it out of the variable or file it comes from'
        : 'a character that no header may have';
    return `headers.${name} has ${what}`;
  }
  return null;
}

export type OtlpConfig = Static<typeof Config> & { timeout: string };
