/** What tests ask of a running Kafka, with kafkajs as the administrator. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { loadKafkajs } from '../../../src/sinks/kafka/kafkajs.ts';

function client(brokers: readonly string[]) {
  const { Kafka, logLevel } = loadKafkajs();
  return new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1000,
    retry: { retries: 0 },
  });
}

/** True when a broker answers for itself. */
export async function answers(address: string): Promise<boolean> {
  const admin = client([address]).admin();
  try {
    await admin.connect();
    // A broker that is still fenced after a restart is not in its own answer.
    return (await admin.describeCluster()).brokers.length > 0;
  } catch {
    // Not yet: the caller asks again.
    return false;
  } finally {
    await admin.disconnect();
  }
}

/** Runs `use` with a connected administrator. */
export async function administer<T>(brokers: readonly string[], use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client(brokers).admin({ retry: { retries: 10 } });
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

export async function createTopics(
  brokers: readonly string[],
  topics: readonly string[],
  partitions: number,
  replicationFactor = 1,
): Promise<void> {
  if (topics.length === 0) return;
  const wanted = topics.map((topic) => ({ topic, numPartitions: partitions, replicationFactor }));
  await administer(brokers, async (admin) => {
    await admin.createTopics({ topics: wanted, waitForLeaders: false });
    for (;;) {
      try {
        const { topics: found } = await admin.fetchTopicMetadata({ topics: [...topics] });
        if (found.every((one) => one.partitions.every(({ leader }) => leader >= 0))) return;
      } catch {
        // In a cluster another broker may not know of it yet; the test's own time limit ends this.
      }
      await wait(50);
    }
  });
}

/** Sets a topic's settings, such as `max.message.bytes`. */
export async function configureTopic(
  brokers: readonly string[],
  topic: string,
  settings: Record<string, string>,
): Promise<void> {
  const { ConfigResourceTypes } = loadKafkajs();
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }];
  await administer(brokers, (admin) => admin.alterConfigs({ validateOnly: false, resources }));
}
