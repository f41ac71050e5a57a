/** The sections of agent.yaml that belong to no processor or sink: keys, defaults and descriptions. src/config.ts reads them from a file. */
import type { Static, TProperties } from 'typebox';
import { isBeyondLoopback, parseEndpoint } from './endpoint.ts';
import type { SchemaFault } from './schema.ts';
import { Type } from './type.ts';
import { bytesOf, parseBytes } from './units.ts';

const SEGMENT_MARGIN_BYTES = 1 << 20;
const LEAST_SEGMENTS = 4;
/** Half of it is blocks, whose addresses are signed words (core/block.ts). */
const MOST_MEMORY = '4GiB';
/** With less, requests lie in all blocks there are while what follows has none. */
const LEAST_MEMORY = '32MiB';

const duration = (text: string, description: string) => Type.String({ format: 'duration', default: text, description });
const bytes = (text: string, description: string) => Type.String({ format: 'bytes', default: text, description });
const urlPath = (text: string, signal: string) =>
  Type.String({
    pattern: '^/[^\\s?#]*$',
    patternErrorMessage: `must be a path such as ${text}, without query or fragment`,
    default: text,
    description: `Path that takes ${signal}.`,
  });
const autoBytes = (description: string) =>
  Type.Union([Type.Literal('auto'), Type.String({ format: 'bytes' })], { default: 'auto', description });
/** Not 0, which elsewhere often means no bound, and would give everything up here. */
const limit = (format: 'positive_duration' | 'positive_bytes', description: string) =>
  Type.Union([Type.Literal('none'), Type.String({ format })], { default: 'none', description });
const file = (description: string) => Type.String({ default: '', description });
const section = <Keys extends TProperties>(keys: Keys, description: string) =>
  Type.Object(keys, { default: {}, description, additionalProperties: false });

const Agent = section(
  {
    id: Type.String({
      default: '',
      maxLength: 200,
      pattern: '^[^\\s/\\\\]*$',
      patternErrorMessage: 'must be a name without white space and slashes',
      description: 'Name of this agent in record headers and file names. Default: the host name.',
    }),
    data_dir: Type.String({
      default: './data',
      minLength: 1,
      description: 'Where the agent keeps its files. Relative paths are relative to the working directory.',
    }),
    workers: Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 64 })], {
      default: 'auto',
      description: 'Worker threads. auto: available parallelism - 1, from 1 to 4.',
    }),
    memory_limit: autoBytes(
      'Memory that admission, blocks and sinks share, 32MiB to 4GiB. auto: 90 % of the cgroup limit, at most 512MiB.',
    ),
    log_level: Type.Union([Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')], {
      default: 'info',
      description: 'Least severe log lines that are written.',
    }),
    shutdown: section(
      {
        serve_on: duration('1s', 'How long after SIGTERM the agent still serves while it says it is not ready.'),
        grace: duration('20s', 'How long after SIGTERM it may drain: requests in flight and sinks.'),
      },
      'What happens after SIGTERM.',
    ),
  },
  'The process as a whole.',
);

const Admin = section(
  {
    endpoint: Type.String({
      format: 'host_port',
      default: '127.0.0.1:8888',
      description: 'Where /metrics, /health, /status, /contracts and /traces answer. Port 0: any free one.',
    }),
    auth: section(
      {
        bearer_token_file: file(
          'Tokens that may see traces, one a line as for ingest.http.auth: only the token counts. Empty: nobody beyond loopback.',
        ),
      },
      'Who may see telemetry beyond loopback.',
    ),
  },
  'The port for operators.',
);

const Http = section(
  {
    endpoint: Type.String({
      format: 'listen_address',
      default: '127.0.0.1:4318',
      description: 'Where OTLP over HTTP is taken: HOST:PORT (port 0: any free one), or unix:/PATH of a socket.',
    }),
    max_request_body_size: Type.String({
      format: 'positive_bytes',
      default: '20MiB',
      description: 'Largest request body, after decompression.',
    }),
    max_item_size: limit(
      'positive_bytes',
      'Largest span, log record or data point, as protobuf: a larger one is rejected alone. none: only the body is bounded.',
    ),
    traces_url_path: urlPath('/v1/traces', 'traces'),
    metrics_url_path: urlPath('/v1/metrics', 'metrics'),
    logs_url_path: urlPath('/v1/logs', 'logs'),
    tls: section(
      {
        cert_file: file('Certificate (chain) in PEM. Empty: no TLS. Then `key_file` is needed, too.'),
        key_file: file('Private key in PEM.'),
        client_ca_file: file('CAs in PEM: clients need a certificate that one of them has signed. Empty: none needed.'),
        client_allowed_sans_file: file(
          'DNS names and URIs, one a line: a client certificate needs one of them as a SAN. Empty: any of those CAs will do.',
        ),
        reload_interval: Type.String({
          format: 'positive_duration',
          default: '1m',
          description: 'How often the files are looked at for changes.',
        }),
      },
      'Encryption, and certificates of clients.',
    ),
    auth: section(
      {
        bearer_token_file: file(
          'Tokens that may send, one a line: TOKEN [name=payments] [signals=traces,logs] [quota=20MiB/s]. Looked at every 10s. Empty: anyone may.',
        ),
      },
      'Who may send.',
    ),
    cors: section(
      {
        allowed_origins: Type.Array(
          Type.String({
            // What never equals an Origin header would let nobody in, and nothing would say why.
            pattern: '^(\\*|null|[a-z][a-z0-9+.-]*://[^/\\s?#@*A-Z]+)$',
            patternErrorMessage:
              'must be an origin as browsers send it, such as https://shop.example (lower case, no path, no * in it), or "*" for all',
          }),
          {
            default: [],
            description: 'Origins whose pages may send, exactly as browsers name them; "*": all. Empty: none.',
          },
        ),
        allowed_headers: Type.Array(
          Type.String({
            pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
            patternErrorMessage: 'must be the name of a header such as X-Tenant',
          }),
          {
            default: [],
            description: 'Request headers they may set beside Content-Type, Content-Encoding and Authorization.',
          },
        ),
        max_age: duration('2h', 'How long browsers may remember that.'),
      },
      'Exporters in browsers.',
    ),
    fast_path: Type.Boolean({
      default: true,
      description:
        'Reads requests that are written as exporters write them without the detour over node:http; all others, and all with TLS, take it.',
    }),
    insecure: Type.Boolean({
      default: false,
      description: 'Must be true to listen beyond loopback without TLS or tokens: everyone who reaches it may send.',
    }),
  },
  'OTLP over HTTP.',
);

const Ingest = section(
  {
    http: Http,
    admission: section(
      {
        in_flight: autoBytes('Bytes of requests that may be in work at once. auto: 25 % of memory_limit.'),
        waiting: autoBytes(
          'Bytes of requests that may wait, unread and for at most a second, until there is room. auto: 6 % of memory_limit.',
        ),
      },
      'How much is taken before requests are answered 503.',
    ),
  },
  'What comes in.',
);

const Journal = section(
  {
    directory: Type.String({
      default: '',
      description: 'Holds intake/ and derived/. Default: journal below data_dir. Relative to the working directory.',
    }),
    durability: Type.Union([Type.Literal('durable'), Type.Literal('written')], {
      default: 'durable',
      description:
        'durable: a 200 is sent after the sync to disk; written: after the write, which a power cut can undo.',
    }),
    segment_size: bytes('64MiB', 'Size of a segment: more than max_request_body_size + 1MiB.'),
    max_size: bytes(
      '8GiB',
      'Most bytes of intake segments, at least 4 segments. The derived journal has a quarter of it.',
    ),
    look_back: duration(
      '2m',
      'How far back intake segments are kept for contracts that break: at most half of max_size.',
    ),
    max_age: limit('positive_duration', 'Data that no sink has taken for so long is given up, counted as expired.'),
    when_full: Type.Union([Type.Literal('reject'), Type.Literal('drop_oldest')], {
      default: 'reject',
      description:
        'What happens when max_size or the disk is full: reject answers 503 until sinks have caught up; drop_oldest gives up the oldest data, counted as expired.',
    }),
  },
  'The journal on disk that everything goes through.',
);

/** Every section but processors and sinks, which src/config.ts composes from the registries. */
export const SETTINGS = {
  agent: Agent,
  admin: Admin,
  ingest: Ingest,
  journal: Journal,
  contracts: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description: 'Contract files: globs, relative to this file.',
  }),
};

export type Settings = {
  agent: Static<typeof Agent>;
  admin: Static<typeof Admin>;
  ingest: Static<typeof Ingest>;
  journal: Static<typeof Journal>;
  contracts: string[];
};

/** Beyond loopback with neither encryption nor tokens, and nobody has said that this is meant. */
function isOpen(http: Settings['ingest']['http']): boolean {
  if (http.insecure || http.tls.cert_file !== '' || http.auth.bearer_token_file !== '') return false;
  return isBeyondLoopback(http.endpoint);
}

/** Faults between keys that are each sound by themselves. */
export function settingFaults({ agent, ingest: { http }, journal, admin }: Settings): SchemaFault[] {
  const faults: SchemaFault[] = [];
  const add = (path: string, message: string) => faults.push({ path: path.split('.'), part: 'value', message });
  const memoryBytes = parseBytes(agent.memory_limit);
  const refuseMemory = (bound: string) =>
    add('agent.memory_limit', `agent.memory_limit must be ${bound}; found ${agent.memory_limit}`);
  if (memoryBytes !== undefined && memoryBytes > bytesOf(MOST_MEMORY))
    refuseMemory(`at most ${MOST_MEMORY}, what one agent can use; run several, each with its own port and data_dir`);
  if (memoryBytes !== undefined && memoryBytes < bytesOf(LEAST_MEMORY))
    refuseMemory(`at least ${LEAST_MEMORY}, which telemetry needs on its way to the sinks`);
  const segmentBytes = bytesOf(journal.segment_size);
  const bodyBytes = bytesOf(http.max_request_body_size);
  if (segmentBytes <= bodyBytes + SEGMENT_MARGIN_BYTES) {
    const limit = `ingest.http.max_request_body_size (${http.max_request_body_size}) + 1MiB`;
    add('journal.segment_size', `journal.segment_size must be more than ${limit}, found ${journal.segment_size}`);
  }
  if (bytesOf(journal.max_size) < LEAST_SEGMENTS * segmentBytes) {
    const limit = `${LEAST_SEGMENTS} segments of ${journal.segment_size}`;
    add('journal.max_size', `journal.max_size must be at least ${limit}, found ${journal.max_size}`);
  }
  const { cert_file: cert, key_file: key, client_ca_file: clientCa } = http.tls;
  if ((cert === '') !== (key === '')) {
    add('ingest.http.tls', 'ingest.http.tls needs both cert_file and key_file, or neither');
  } else if (cert === '' && clientCa !== '') {
    add('ingest.http.tls.client_ca_file', 'ingest.http.tls.client_ca_file needs cert_file and key_file beside it');
  }
  if (clientCa === '' && http.tls.client_allowed_sans_file !== '') {
    const key = 'ingest.http.tls.client_allowed_sans_file';
    add(key, `${key} needs client_ca_file beside it`);
  }
  if (isOpen(http)) {
    const wayOut = 'configure `tls` or `auth`, or say `insecure: true` beside it if everyone who reaches it may send';
    add('ingest.http.endpoint', `ingest.http.endpoint is beyond loopback, found ${http.endpoint}: ${wayOut}`);
  }
  if (http.endpoint === admin.endpoint && parseEndpoint(admin.endpoint)?.port !== 0) {
    add('admin.endpoint', `admin.endpoint must differ from ingest.http.endpoint, found ${admin.endpoint} for both`);
  }
  const paths = [http.traces_url_path, http.metrics_url_path, http.logs_url_path];
  if (new Set(paths).size < paths.length) add('ingest.http', `url paths must differ, found ${paths.join(', ')}`);
  return faults;
}
