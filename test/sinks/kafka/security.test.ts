/** Holds how the kafka sink logs in: SASL, TLS with certificates both ways, files that change, and rights that are taken and given back. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AclEntry } from 'kafkajs';
import { kafka } from '../../../src/sinks/kafka/index.ts';
import { loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';
import { saslOf, sslOf } from '../../../src/sinks/kafka/security.ts';
import { type Broker, startBroker, unavailable } from '../../support/kafka/broker.ts';
import { createHarness, spans, temporaryFolder, within } from '../harness.ts';
import { recordsOf } from './records.ts';

const TRACES = { stream: 'raw', signal: 'traces' } as const;
const RETRY = { retry: { initialMs: 100, maxMs: 300 } };
const USER = 'edge';
const PASSWORD = 'correct horse';
const pem = (name: string) => fileURLToPath(new URL(`../../ingest/tls/${name}`, import.meta.url));
const inline = (name: string) => readFileSync(pem(name), 'utf8').trim().replaceAll('\n', '\\n');
const LOGIN = 'org.apache.kafka.common.security';
const SCRAM = ['SCRAM-SHA-256', 'SCRAM-SHA-512'];

let broker: Broker;

/** The user's right to write to a topic. */
function right(topic: string): AclEntry {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = loadKafkajs();
  return {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: topic,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: `User:${USER}`,
    host: '*',
    operation: AclOperationTypes.WRITE,
    permissionType: AclPermissionTypes.ALLOW,
  };
}

async function grant(topic: string): Promise<void> {
  const acl = [right(topic)];
  await broker.administer((admin) => admin.createAcls({ acl }));
}

async function revoke(topic: string): Promise<void> {
  const filter = right(topic);
  await broker.administer((admin) => admin.deleteAcls({ filters: [filter] }));
}

function started(t: TestContext, topic: string, listener: string, changes: object) {
  const address = broker.addresses[listener];
  const section = { type: 'kafka', brokers: [address], subscribe: { raw: topic }, reload_interval: '1ms', ...changes };
  const harness = createHarness(kafka, section, RETRY);
  let sent = 0;
  harness.delivery.start();
  // Whatever fails, the client's thread must not keep this process alive.
  t.after(() => harness.delivery.close(Date.now() + 1000));
  return {
    ...harness,
    feed: () => harness.source.append('raw', 'traces', spans(sent, ++sent), 1),
    arrived: () => within(20_000, () => harness.cursor(TRACES).next === sent),
    says: (words: RegExp) =>
      within(20_000, () => words.test(String(harness.delivery.state().error))).catch((error) =>
        assert.fail(`${error}: ${words}, but ${harness.delivery.state().error}`),
      ),
  };
}

test('a file that cannot be read is said by its key', () => {
  const sasl = { mechanism: 'plain', username: 'u', password_file: '/nowhere/password' } as const;
  const tls = { cert_file: '/nowhere/client.pem' };
  assert.throws(() => sslOf({ tls }), { code: 'SINK_RETRY', message: /^tls\.cert_file: ENOENT.*client\.pem/ });
  assert.throws(() => saslOf({ tls: true, sasl }), { code: 'SINK_RETRY', message: /^sasl\.password_file: ENOENT/ });
});

describe('with a broker that asks who is there', { skip: unavailable() ?? false }, () => {
  before(async () => {
    const tls = (listener: string) => [
      `listener.name.${listener}.ssl.keystore.type=PEM`,
      `listener.name.${listener}.ssl.keystore.certificate.chain=${inline('server.pem')}`,
      `listener.name.${listener}.ssl.keystore.key=${inline('server.key')}`,
    ];
    broker = await startBroker({
      listeners: { SASL: 'SASL_PLAINTEXT', SECURE: 'SASL_SSL', MUTUAL: 'SSL' },
      format: SCRAM.flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${USER},password=${PASSWORD}]`]),
      properties: [
        'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users=User:ANONYMOUS;User:CN=client',
        `sasl.enabled.mechanisms=PLAIN,${SCRAM.join(',')}`,
        ...['sasl', 'secure'].flatMap((listener) => [
          `listener.name.${listener}.plain.sasl.jaas.config=${LOGIN}.plain.PlainLoginModule required user_${USER}="${PASSWORD}";`,
          ...SCRAM.map(
            (mechanism) =>
              `listener.name.${listener}.${mechanism.toLowerCase()}.sasl.jaas.config=${LOGIN}.scram.ScramLoginModule required;`,
          ),
        ]),
        ...tls('secure'),
        ...tls('mutual'),
        'listener.name.mutual.ssl.truststore.type=PEM',
        `listener.name.mutual.ssl.truststore.certificates=${inline('ca.pem')}`,
        'listener.name.mutual.ssl.client.auth=required',
      ],
    });
  });
  after(() => broker?.stop());

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512']) {
    test(`${mechanism}: logs in, plain and over TLS; a wrong password is said and nothing is lost`, async (t) => {
      const topic = `login-${mechanism}`;
      await broker.createTopics([topic]);
      await grant(topic);
      const sasl = { mechanism, username: USER, password: PASSWORD };
      for (const [listener, tls] of [['SASL', false] as const, ['SECURE', { ca_file: pem('ca.pem') }] as const]) {
        const sink = started(t, topic, listener, { sasl, tls });
        sink.feed();
        await sink.arrived();
      }
      const file = join(temporaryFolder(t), 'password');
      writeFileSync(file, 'wrong\n');
      const late = started(t, topic, 'SASL', { sasl: { mechanism, username: USER, password_file: file } });
      late.feed();
      await late.says(/[Aa]uthentication failed/);
      writeFileSync(file, `${PASSWORD}\n`);
      await late.arrived();
      assert.equal(late.delivery.state().state, 'ok');
      // The three are harnesses of their own, so their records have the same names.
      assert.equal((await recordsOf(broker, topic, 1)).length, 1);
    });
  }

  test('a right that is taken is said with the topic, and given back everything arrives', async (t) => {
    await broker.createTopics(['rights', 'others']);
    await grant('rights');
    const sasl = { mechanism: 'plain', username: USER, password: PASSWORD };
    const sink = started(t, 'rights', 'SASL', { sasl });
    sink.feed();
    await sink.arrived();
    await revoke('rights');
    for (let i = 0; i < 20; i++) sink.feed();
    await sink.says(/^not allowed to write to topic rights: grant it to this user$/);
    await grant('rights');
    await sink.arrived();
    assert.equal(sink.delivery.state().state, 'ok');
    assert.equal((await recordsOf(broker, 'rights', 21)).length, 21);
  });

  test('certificates both ways; changed files are taken up without a restart, whatever they are', async (t) => {
    await broker.createTopics(['mutual']);
    const folder = temporaryFolder(t);
    const [cert_file, key_file] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const use = (name: string) => {
      copyFileSync(pem(`${name}.pem`), cert_file);
      copyFileSync(pem(`${name}.key`), key_file);
    };
    use('client');
    const sink = started(t, 'mutual', 'MUTUAL', { tls: { ca_file: pem('ca.pem'), cert_file, key_file } });
    sink.feed();
    await sink.arrived();
    use('stranger');
    sink.feed();
    await sink.says(/alert|ECONNRESET|EPIPE|closed/i);
    use('client');
    await sink.arrived();
    assert.equal(sink.delivery.state().state, 'ok');
  });

  test('a broker whose certificate nobody trusts gets nothing', async (t) => {
    const sink = started(t, 'mutual', 'MUTUAL', { tls: true });
    sink.feed();
    await sink.says(/certificate/);
    assert.equal(sink.cursor(TRACES).next, 0);
  });
});
