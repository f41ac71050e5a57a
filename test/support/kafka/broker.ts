/** A real single-node Apache Kafka 4.4.0 on loopback: starts, stops, can be killed, frozen and restarted with its data. */
import type { Admin } from 'kafkajs';
import { administer, answers, configureTopic, createTopics } from './admin.ts';
import { createNode, freePort, type Node } from './node.ts';

export { unavailable } from './jars.ts';

export interface BrokerOptions {
  topics?: readonly string[];
  /** Partitions of each of them; default 1. */
  partitions?: number;
  /** Default: any free one. */
  port?: number;
  /** More lines for server.properties. */
  properties?: readonly string[];
  /** More listeners, all on free ports: name to security protocol, as in `{ SASL: 'SASL_PLAINTEXT' }`. */
  listeners?: Record<string, string>;
  /** More arguments of `kafka-storage format`, such as `--add-scram`. */
  format?: readonly string[];
}

export interface Broker extends Node {
  /** `127.0.0.1:PORT`; the same after a restart. */
  address: string;
  /** The same of each further listener. */
  addresses: Record<string, string>;
  createTopics(topics: readonly string[], partitions?: number): Promise<void>;
  /** Runs `use` with kafkajs's administrator. */
  administer<T>(use: (admin: Admin) => Promise<T>): Promise<T>;
  /** Sets a topic's settings, such as `max.message.bytes`. */
  configureTopic(topic: string, settings: Record<string, string>): Promise<void>;
}

export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const address = `127.0.0.1:${options.port || (await freePort())}`;
  const controller = `127.0.0.1:${await freePort()}`;
  const addresses: Record<string, string> = {};
  for (const name of Object.keys(options.listeners ?? {})) addresses[name] = `127.0.0.1:${await freePort()}`;
  const node = await createNode({
    properties: () => serverProperties(address, controller, addresses, options),
    format: ['--standalone', ...(options.format ?? [])],
    answers: () => answers(address),
  });
  const broker: Broker = {
    ...node,
    address,
    addresses,
    createTopics: (topics, partitions = 1) => createTopics([address], topics, partitions),
    administer: (use) => administer([address], use),
    configureTopic: (topic, settings) => configureTopic([address], topic, settings),
  };
  try {
    await broker.restart();
    await broker.createTopics(options.topics ?? [], options.partitions);
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

function serverProperties(
  address: string,
  controller: string,
  addresses: Record<string, string>,
  { listeners = {}, properties = [] }: BrokerOptions,
): string[] {
  const open = [`PLAINTEXT://${address}`, ...Object.entries(addresses).map(([name, at]) => `${name}://${at}`)];
  const protocols = Object.entries(listeners).map(([name, protocol]) => `${name}:${protocol}`);
  return [
    'node.id=1',
    `controller.quorum.bootstrap.servers=${controller}`,
    `listeners=${[...open, `CONTROLLER://${controller}`].join(',')}`,
    `advertised.listeners=${open.join(',')}`,
    'inter.broker.listener.name=PLAINTEXT',
    `listener.security.protocol.map=${['CONTROLLER:PLAINTEXT', 'PLAINTEXT:PLAINTEXT', ...protocols].join(',')}`,
    'offsets.topic.replication.factor=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    ...properties,
  ];
}
