/** Holds src/config.ts: every fault is said with its place, defaults are filled in, and no secret is ever printed. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { type Configurable, inspectConfig, loadConfig, schemaOfAgent } from '../src/config.ts';
import { AgentError } from '../src/core/errors.ts';
import { Type } from '../src/core/type.ts';
import { sinkConfig } from '../src/sinks/sink.ts';
import { storage } from '../src/sinks/storage/index.ts';

const processors: Configurable[] = [
  { type: 'redact', kind: 'editor', summary: 'Edits.', config: Type.Object({}) },
  {
    type: 'summarize',
    kind: 'observer',
    isSingle: true,
    summary: 'Counts.',
    config: Type.Object({ every: duration('10s') }),
  },
  {
    type: 'sample',
    kind: 'selector',
    summary: 'Chooses.',
    config: Type.Object({
      base: Type.String({ format: 'share', default: '10%', description: 'Share.' }),
      budget: Type.Union([Type.Literal('none'), Type.String({ format: 'rate' })], { default: 'none' }),
    }),
  },
];
const sinks: Configurable[] = [
  { type: 'console', summary: 'Prints.', config: Type.Object({}) },
  {
    type: 'storage',
    summary: 'Writes files.',
    config: Type.Object({ directory: Type.String(), dead_letter: Type.String({ default: '' }) }),
  },
  {
    type: 'kafka',
    summary: 'Writes records.',
    config: Type.Object({
      brokers: Type.Array(Type.String(), { minItems: 1 }),
      compression: Type.Union([Type.Literal('none'), Type.Literal('zstd')], { default: 'zstd' }),
      tls: Type.Boolean({ default: false }),
      linger: duration('5ms'),
      batch: Type.Object({ records: Type.Integer({ minimum: 1, default: 10 }) }, { default: {} }),
      sasl: Type.Optional(Type.Object({ username: Type.String(), password: Type.String({ minLength: 8 }) })),
    }),
  },
];

function duration(text: string) {
  return Type.String({ format: 'duration', default: text });
}

function inspect(text: string, options: { env?: Record<string, string>; set?: string[] } = {}) {
  return inspectConfig({ text, file: 'agent.yaml', env: {}, processors, sinks, ...options });
}

function only(text: string, options = {}): string {
  const { faults } = inspect(text, options);
  assert.equal(faults.length, 1, `expected one fault, found:\n${faults.join('\n')}`);
  return faults[0] as string;
}

test('an empty file is the default configuration', () => {
  const { config } = loadConfig({ text: '', file: '/etc/p/agent.yaml', env: {}, processors, sinks });
  assert.deepEqual(config, {
    agent: {
      id: hostname(),
      data_dir: './data',
      workers: 'auto',
      memory_limit: 'auto',
      log_level: 'info',
      shutdown: { serve_on: '1s', grace: '20s' },
    },
    admin: { endpoint: '127.0.0.1:8888', auth: { bearer_token_file: '' } },
    ingest: {
      http: {
        endpoint: '127.0.0.1:4318',
        max_request_body_size: '20MiB',
        max_item_size: 'none',
        traces_url_path: '/v1/traces',
        metrics_url_path: '/v1/metrics',
        logs_url_path: '/v1/logs',
        tls: { cert_file: '', key_file: '', client_ca_file: '', client_allowed_sans_file: '', reload_interval: '1m' },
        auth: { bearer_token_file: '' },
        cors: { allowed_origins: [], allowed_headers: [], max_age: '2h' },
        fast_path: true,
        insecure: false,
      },
      admission: { in_flight: 'auto', waiting: 'auto' },
    },
    journal: {
      directory: 'data/journal',
      durability: 'durable',
      segment_size: '64MiB',
      max_size: '8GiB',
      max_age: 'none',
      look_back: '2m',
      when_full: 'reject',
    },
    contracts: [],
    processors: [],
    sinks: [],
  });
});

test('a section without a value is a section that is missing', () => {
  assert.equal(inspect('journal:\nsinks:\n').config?.journal.segment_size, '64MiB');
});

test('contract globs are relative to the file, the data directory to the working directory', () => {
  const text = 'contracts: [contracts/*.yaml]\nagent: { data_dir: here }';
  const { config } = loadConfig({ text, file: '/etc/p/agent.yaml', env: {}, processors, sinks });
  assert.deepEqual(config.contracts, ['/etc/p/contracts/*.yaml']);
  assert.equal(config.journal.directory, 'here/journal');
});

test('components get their defaults, nested ones too, and sinks their type as name', () => {
  const { config } = inspect('sinks:\n  - { type: kafka, brokers: [a:1] }\nprocessors: [{ type: sample }]');
  assert.deepEqual(config?.sinks, [
    {
      type: 'kafka',
      name: 'kafka',
      optional: false,
      brokers: ['a:1'],
      compression: 'zstd',
      tls: false,
      linger: '5ms',
      batch: { records: 10 },
    },
  ]);
  assert.deepEqual(config?.processors, [{ type: 'sample', base: '10%', budget: 'none' }]);
});

test('a misspelt key is named with its line, its column and the nearest key', () => {
  const text = 'sinks:\n  - type: console\n  - type: kafka\n    brokers: [a:1]\n    compresion: zstd\n';
  assert.equal(only(text), 'agent.yaml:5:5: unknown key "compresion" in sinks[1] (kafka): did you mean "compression"?');
  assert.match(only('jurnal: {}'), /^agent\.yaml:1:1: unknown key "jurnal" in the file: did you mean "journal"\?$/);
  assert.match(
    only('ingest: { http: { proxy: {} } }'),
    /:1:19: unknown key "proxy" in ingest\.http: known are endpoint, max/,
  );
});

test('every fault is said at once, in the order of the file', () => {
  const text = `agent:
  workers: many
  log_level: inf
  shutdown: { grace: 5 minutes }
journal:
  max_size: 8 gigs
processors:
  - type: smaple
sinks:
  - type: kafka
    tls: maybe
    batch: { records: 0 }
`;
  assert.deepEqual(inspect(text).faults, [
    'agent.yaml:2:12: agent.workers must be auto or a whole number, found "many"',
    'agent.yaml:3:14: agent.log_level must be debug or info or warn or error, found "inf": did you mean "info"?',
    'agent.yaml:4:22: agent.shutdown.grace must be a duration such as 200ms, 10s, 5m, 2h or 7d, found "5 minutes"',
    'agent.yaml:6:13: journal.max_size must be a size such as 16KiB, 4MiB or 8GiB, found "8 gigs"',
    'agent.yaml:8:11: unknown type "smaple" in processors[0]: did you mean "sample"?',
    'agent.yaml:10:5: missing key "brokers" in sinks[0] (kafka)',
    'agent.yaml:11:10: sinks[0].tls (kafka) must be true or false, found "maybe"',
    'agent.yaml:12:23: sinks[0].batch.records (kafka) must be >= 1, found 0',
  ]);
});

test('wrong kinds of value are said by what was found', () => {
  assert.equal(only('sinks: 3'), 'agent.yaml:1:8: sinks must be a list, found 3');
  assert.equal(only('admin: [a]'), 'agent.yaml:1:8: admin must be a map, found a list');
  assert.equal(only('- a'), 'agent.yaml:1:1: the file must be a map, found a list');
  assert.equal(only('sinks: [{ name: x }]'), 'agent.yaml:1:9: missing key "type" in sinks[0]');
});

test('what is empty and must not be is called so', () => {
  const { faults } = inspect('contracts: [""]');
  assert.deepEqual(faults, ['agent.yaml:1:13: contracts[0] must not be empty']);
});

test('variables are replaced, with their defaults, and an unset one without refuses the start', () => {
  const text = 'agent:\n  id: "${env:NODE}-${env:ZONE:-z1}"\n  data_dir: $${env:NODE}\n';
  const { config } = inspect(text, { env: { NODE: 'n1' } });
  assert.equal(config?.agent.id, 'n1-z1');
  assert.equal(config?.agent.data_dir, '${env:NODE}');
  assert.equal(
    only('agent:\n  shutdown: { grace: "${env:GRACE}" }'),
    'agent.yaml:2:22: the environment variable GRACE is not set: set it, or give a default: ${env:GRACE:-default}',
  );
  assert.match(
    only('agent: { id: "${HOSTNAME}" }'),
    /^agent\.yaml:1:14: a "\$\{\.\.\.\}" that is no variable: write \$\{env:NAME\}/,
  );
  assert.match(only('agent: { id: "${env:A:-${env:B}}" }'), /that is no variable/, 'a default holds none');
});

test('a variable can be a number or a boolean where one is asked for, and stays text elsewhere', () => {
  const text = 'agent: { id: "${env:A}", workers: "${env:B}" }\ningest: { http: { insecure: "${env:C}" } }';
  const { config } = inspect(text, { env: { A: '12345', B: '2', C: 'true' } });
  assert.equal(config?.agent.id, '12345');
  assert.equal(config?.agent.workers, 2);
  assert.equal(config?.ingest.http.insecure, true);
  assert.match(
    only(text, { env: { A: 'a', B: 'two', C: 'true' } }),
    /agent\.workers must be auto or a whole number, found "two"/,
  );
});

test('a sink that is optional and has no brokers is left out with a note, and keeps the other indices right', () => {
  const text =
    'sinks:\n  - { type: kafka, optional: true, brokers: ["${env:KAFKA_BROKERS:-}"] }\n  - { type: consol }\n';
  assert.match(only(text), /^agent\.yaml:3:13: unknown type "consol" in sinks\[1\]: did you mean "console"\?$/);
  const { config, notes } = inspect(text.replace('consol ', 'console '));
  assert.deepEqual(
    config?.sinks.map(({ name }) => name),
    ['console'],
  );
  assert.deepEqual(notes, ['sinks[0] (kafka) is left out: brokers is empty and it is optional']);
});

test('a sink that is not optional must have brokers', () => {
  assert.equal(
    only('sinks: [{ type: kafka, brokers: ["${env:KAFKA_BROKERS:-}"] }]'),
    'agent.yaml:1:33: brokers of sinks[0] (kafka) is empty: set it, or say `optional: true` to leave the sink out',
  );
});

test('brokers may be one comma-separated text', () => {
  const env = { KAFKA_BROKERS: 'a:1, b:2' };
  for (const brokers of ['["${env:KAFKA_BROKERS}"]', '"${env:KAFKA_BROKERS}"']) {
    const { config } = inspect(`sinks: [{ type: kafka, brokers: ${brokers} }]`, { env });
    assert.deepEqual(config?.sinks[0]?.brokers, ['a:1', 'b:2']);
  }
});

test('a file that is no map is a fault with its place', () => {
  for (const text of ['hello', '5', '- a', '"x"', 'true'])
    assert.match(only(text), /^agent\.yaml:1:1: the file must be a map/, text);
});

test('sink names are unique', () => {
  const text = 'sinks:\n  - type: console\n  - type: kafka\n    brokers: [a:1]\n    name: console\n';
  assert.equal(
    only(text),
    'agent.yaml:5:11: sinks[1] has the name "console" of sinks[0]: give one of them another `name`',
  );
});

test('a sink name is one that a folder can have', () => {
  const named = (name: string) => inspect(`sinks: [{ type: console, name: '${name}' }]`).faults;
  for (const name of ['eu/kafka', '../out', '..', '.', 'a\\\\b'])
    assert.match(named(name).join(), /sinks\[0\]\.name \(console\) must be a name without slashes, found/, name);
  for (const name of ['kafka-eu', 'k.eu', '..k', 'kafka eu']) assert.deepEqual(named(name), []);
});

test('no two sinks have one directory, nor one inside the other', () => {
  const two = (one: string, other: string) =>
    inspect(`sinks:\n  - { type: storage, ${one} }\n  - { type: storage, name: b, ${other} }\n`).faults;
  for (const other of ['x/a', './x/a', 'x/../x/a/', 'x', 'x/a/b', resolve('x/a')]) {
    const faults = two('directory: x/a', `directory: ${other}`);
    assert.equal(faults.length, 1, other);
    assert.match(
      faults[0] ?? '',
      /^agent\.yaml:3:\d+: directory of sinks\[1\] and of sinks\[0\] are one.*another `directory`$/,
    );
  }
  assert.match(
    two('directory: a, dead_letter: d', 'directory: b, dead_letter: d').join(),
    /^agent\.yaml:3:\d+: dead_letter of sinks\[1\] and of sinks\[0\] are one/,
  );
  assert.deepEqual(two('directory: x/a', 'directory: x/ab'), []);
  assert.deepEqual(two('directory: x/a', 'directory: x/..a'), []);
  assert.deepEqual(two('directory: a', 'dead_letter: a, directory: b'), []);
});

test('no two sinks put one stream into one place of a bucket', () => {
  const known = [{ ...storage, config: sinkConfig(storage) }];
  const two = (one: string, other: string) => {
    const text = `sinks:\n  - { type: storage, ${one} }\n  - { type: storage, name: b, ${other} }\n`;
    return inspectConfig({ text, file: 'agent.yaml', env: {}, processors, sinks: known }).faults;
  };
  const sink = (place: string, streams = '[raw, events]') => `subscribe: ${streams}, s3: { bucket: a, ${place} }`;
  for (const other of ['prefix: x', 'prefix: /x/', 'prefix: x, region: r, storage_class: IA']) {
    const faults = two(sink('prefix: x'), sink(other, '[summaries, events]'));
    assert.equal(faults.length, 1, other);
    assert.match(
      faults[0] ?? '',
      /^agent\.yaml:3:\d+: s3 of sinks\[1\] and of sinks\[0\] lead to one place, and both take events: .*another `prefix`$/,
    );
  }
  assert.equal(two(sink('endpoint: "http://m:9/"'), sink('endpoint: "http://m:9"')).length, 1);
  for (const other of ['prefix: x/y', 'prefix: x, endpoint: "http://m:9"'])
    assert.deepEqual(two(sink('prefix: x'), sink(other)), []);
  assert.deepEqual(two(sink('prefix: x'), sink('prefix: x').replace('bucket: a', 'bucket: b')), []);
  assert.deepEqual(two(sink('prefix: x', '[raw]'), sink('prefix: x', '[events]')), [], 'keys begin with the stream');
});

test('processors stand in the order editors, observers, selectors', () => {
  const text = 'processors:\n  - type: sample\n  - type: redact\n';
  assert.match(
    only(text),
    /^agent\.yaml:3:5: redact stands after sample: editors come first, then observers, then selectors$/,
  );
  assert.deepEqual(inspect('processors: [{type: redact}, {type: summarize}, {type: sample}]').faults, []);
});

test('of what does everything once there is one', () => {
  const twice = 'processors:\n  - type: redact\n  - type: redact\n  - type: summarize\n  - type: summarize\n';
  assert.match(only(twice), /^agent\.yaml:5:5: processors\[3\] is a second summarize, .*: leave one$/);
});

test('--set takes what is no YAML as the text it is', () => {
  const { config } = inspect('', { set: ['ingest.http.endpoint=[::1]:4318', 'agent.id={a'] });
  assert.equal(config?.ingest.http.endpoint, '[::1]:4318');
  assert.equal(config?.agent.id, '{a');
  assert.equal(
    only('', { set: ['ingest.http.cors.allowed_origins=*'] }),
    '--set ingest.http.cors.allowed_origins: ingest.http.cors.allowed_origins must be a list, found "*"',
  );
});

test('--set names the items of a list that it does not find', () => {
  const text = 'sinks:\n  - type: console\n  - { type: kafka, name: eu, brokers: [a:1] }\ncontracts: [a, b]\n';
  assert.equal(
    only(text, { set: ['sinks.kafka.tls=true'] }),
    '--set sinks.kafka.tls: sinks has no item "kafka", known are console, eu',
  );
  assert.equal(
    only(text, { set: ['sinks.9.tls=true'] }),
    '--set sinks.9.tls: sinks has no item "9", known are console, eu',
  );
  assert.equal(only(text, { set: ['contracts.x=c'] }), '--set contracts.x: contracts has no item "x", known are 0, 1');
  assert.deepEqual(inspect(text, { set: ['contracts.2=c'] }).faults, []);
  assert.equal(only(text, { set: ['agent..id=c'] }), '--set agent..id: expects a.b=c');
});

test('--set overrides by key, by index and by the name of a sink', () => {
  const text = 'sinks:\n  - type: console\n  - { type: kafka, brokers: [a:1] }\n';
  const set = [
    'agent.workers=3',
    'ingest.http.endpoint=127.0.0.1:0',
    'sinks.kafka.tls=true',
    'sinks.0.name=c',
    'sinks.1.brokers=[b:2]',
  ];
  const { config, faults } = inspect(text, { set });
  assert.deepEqual(faults, []);
  assert.equal(config?.agent.workers, 3);
  assert.equal(config?.ingest.http.endpoint, '127.0.0.1:0');
  assert.deepEqual(
    config?.sinks.map(({ name, tls, brokers }) => [name, tls, brokers]),
    [
      ['c', undefined, undefined],
      ['kafka', true, ['b:2']],
    ],
  );
});

test('a fault of an override names the override', () => {
  assert.equal(
    only('', { set: ['agent.workers=x'] }),
    '--set agent.workers: agent.workers must be auto or a whole number, found "x"',
  );
  assert.match(
    only('', { set: ['agent.wrkers=1'] }),
    /^--set agent\.wrkers: unknown key "wrkers" in agent: did you mean "workers"\?$/,
  );
  assert.match(only('', { set: ['agent'] }), /^--set agent: expects a\.b=c/);
  assert.match(only('agent: { id: x }', { set: ['agent.id.x=1'] }), /^--set agent\.id\.x: /);
});

test('no secret is printed in a fault', () => {
  const secret = 'hunter2';
  const texts = [
    `sinks: [{ type: kafka, brokers: [a:1], sasl: { username: u, password: ${secret} } }]`,
    'sinks: [{ type: kafka, brokers: [a:1], sasl: { username: u, password: "${env:P}" } }]',
    `sinks: [{ type: kafka, brokers: [a:1], sasl: { username: u, password: *${secret} } }]`,
    `sinks:\n  - type: kafka\n    sasl:\n      password: "a" ${secret}\n`,
    `sinks:\n  - type: kafka\n    sasl:\n      password: 'a'${secret}'b\n`,
    `sinks: [{ type: kafka, brokers: [a:1], sasl: { username: u, password: "a\${${secret}}bbbbbbbb" } }]`,
    `admin: { endpoint: "http://user:${secret}@host:1" }`,
  ];
  for (const text of texts) {
    const { faults } = inspect(text, { env: { P: secret } });
    assert.ok(faults.length > 0, text);
    assert.ok(!faults.join('\n').includes(secret), faults.join('\n'));
  }
});

test('loadConfig throws CONFIG_INVALID with one fault a line', () => {
  const source = { text: 'a: 1\nb: 2', file: 'f.yaml', env: {}, processors, sinks };
  const isFault = (error: unknown) =>
    error instanceof AgentError && error.code === 'CONFIG_INVALID' && error.message.split('\n').length === 2;
  assert.throws(() => loadConfig(source), isFault);
});

test('the schema of agent.yaml lets a key with a default be missing and holds each component by its type', () => {
  const schema = JSON.stringify(schemaOfAgent(processors, sinks));
  assert.match(schema, /"const":"kafka"/);
  assert.match(schema, /"required":\["type","brokers"\]/);
  assert.doesNotMatch(schema, /"required":\[[^\]]*"data_dir"/);
});
