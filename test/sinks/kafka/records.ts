/** Reads back what a topic holds, as consumers of docs/output.md do: the same record twice counts once. */
import type { Broker } from '../../support/kafka/broker.ts';
import { openReader, type ReadRecord } from '../../support/kafka/reader.ts';
import { within } from '../harness.ts';

/** Records of a topic, once there are at least `count` (or `count` of what `weigh` counts in each), without what came twice. */
export async function recordsOf(
  broker: Pick<Broker, 'address'>,
  topic: string,
  count: number,
  weigh: (record: ReadRecord) => number = () => 1,
): Promise<ReadRecord[]> {
  const reader = await openReader(broker.address, [topic]);
  try {
    await within(20_000, () => once(reader.records).reduce((sum, record) => sum + weigh(record), 0) >= count);
    return once(reader.records);
  } finally {
    await reader.close();
  }
}

function once(records: readonly ReadRecord[]): ReadRecord[] {
  return [...new Map(records.map((record) => [JSON.stringify(record.headers), record])).values()];
}
