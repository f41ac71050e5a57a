/** Three real brokers on loopback that hold every topic three times: leaders move when one is killed, frozen or halted. */
import type { Admin } from 'kafkajs';
import { administer, answers, createTopics } from './admin.ts';
import { createNode, freePort, type Node } from './node.ts';

const SIZE = 3;

export interface Cluster {
  /** `127.0.0.1:PORT` of each. */
  addresses: readonly string[];
  /** Its node.id is the index and one. */
  nodes: readonly Node[];
  createTopics(topics: readonly string[], partitions?: number): Promise<void>;
  administer<T>(use: (admin: Admin) => Promise<T>): Promise<T>;
  /** Index of the node that leads the topic's first partition. */
  leaderOf(topic: string): Promise<number>;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const ports = [];
  for (let i = 0; i < 2 * SIZE; i++) ports.push(await freePort());
  const addresses = ports.slice(0, SIZE).map((port) => `127.0.0.1:${port}`);
  const controllers = ports.slice(SIZE).map((port) => `127.0.0.1:${port}`);
  const voters = controllers.map((at, i) => `${i + 1}@${at}:${'A'.repeat(20)}${i}w`).join(',');
  const nodes = await Promise.all(
    addresses.map((address, i) =>
      createNode({
        properties: () => serverProperties(i, address, controllers),
        format: ['--initial-controllers', voters],
        answers: () => answers(address),
      }),
    ),
  );
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    await Promise.all(nodes.map((node) => node.restart()));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    addresses,
    nodes,
    createTopics: (topics, partitions = 1) => createTopics(addresses, topics, partitions, SIZE),
    administer: (use) => administer(addresses, use),
    leaderOf: (topic) =>
      administer(addresses, async (admin) => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        return (topics[0]?.partitions[0]?.leader ?? 0) - 1;
      }),
    stop,
  };
}

function serverProperties(index: number, address: string, controllers: readonly string[]): string[] {
  return [
    `node.id=${index + 1}`,
    `controller.quorum.bootstrap.servers=${controllers.join(',')}`,
    `listeners=PLAINTEXT://${address},CONTROLLER://${controllers[index]}`,
    `advertised.listeners=PLAINTEXT://${address}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'controller.quorum.election.timeout.ms=500',
    'controller.quorum.fetch.timeout.ms=1000',
    `default.replication.factor=${SIZE}`,
    'min.insync.replicas=2',
    `offsets.topic.replication.factor=${SIZE}`,
    `transaction.state.log.replication.factor=${SIZE}`,
    'transaction.state.log.min.isr=2',
  ];
}
