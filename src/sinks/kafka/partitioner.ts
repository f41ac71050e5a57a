/** Which partition a record goes to: by its key as Java clients do, without one by its sequence, so that a repeat lies beside its first copy. */
import type { ICustomPartitioner, PartitionerArgs } from 'kafkajs';
import { loadKafkajs } from './kafkajs.ts';

/** So many sequences in a row go to one partition: fewer and larger record batches. */
const RUN_BITS = 4;

export const createPartitioner: ICustomPartitioner = () => {
  const byKey = loadKafkajs().Partitioners.JavaCompatiblePartitioner();
  return (args) => (args.message.key === null ? bySequence(args) : byKey(args));
};

function bySequence({ partitionMetadata, message }: PartitionerArgs): number {
  const led = partitionMetadata.filter(({ leader }) => leader >= 0);
  const from = led.length === 0 ? partitionMetadata : led;
  // `n` or `n/part`: parseInt reads the frame's number, so that the pieces of a frame stay together, too.
  const run = Math.floor(Number.parseInt(String(message.headers?.['plumbline.sequence']), 10) / 2 ** RUN_BITS);
  return from.map(({ partitionId }) => partitionId).sort((a, b) => a - b)[run % from.length] ?? 0;
}
