/** Cuts a request into what records hold: by topic and key, and by size. */
import type { BlockPool, Signal, Stream } from '../../core/block.ts';
import { type RequestPiece, splitRequest } from '../../otlp/split.ts';
import type { KafkaConfig } from './config.ts';
import { createKeyReader, keyRule } from './keys.ts';
import { MOST_KEY_BYTES, RECORD_BYTES } from './size.ts';
import { sliceRequest } from './slice.ts';
import { fixedTopic, topicOf } from './topics.ts';

export type CutConfig = Pick<KafkaConfig, 'key' | 'max_message_bytes' | 'subscribe' | 'topic_values'>;

export interface RecordPiece extends RequestPiece {
  /** Where the topic depends on the resource. */
  topic: string | null;
}

/** Between topic and key; no topic has it. */
const SEPARATOR = '\n';
/** What the pieces of one request may take when each trace repeats its resource. */
const SHARE_OF_POOL = 8;

export function createCutter(config: CutConfig, pool: BlockPool) {
  const { ofItem, ofResource } = createKeyReader(pool);
  const attributes = new Map<string, Buffer>();
  const bytesOf = (attribute: string) => {
    const bytes = attributes.get(attribute) ?? Buffer.from(attribute);
    attributes.set(attribute, bytes);
    return bytes;
  };

  /** The request between `at` and `end`; with a topic of its own each piece is named even when it is whole. */
  return (stream: Stream, signal: Signal, at: number, end: number): RecordPiece[] => {
    const rule = keyRule(config.key, stream, signal);
    const isFixed = fixedTopic(config, stream, signal) !== null;
    const most = config.max_message_bytes - RECORD_BYTES - (rule.kind === 'none' ? 0 : MOST_KEY_BYTES);
    const topicAt = (from: number, to: number) =>
      isFixed ? '' : topicOf(config, stream, signal, (attribute) => ofResource(bytesOf(attribute), from, to));
    const keyAt = (from: number, to: number) => (rule.kind === 'resource' ? ofResource(rule.attribute, from, to) : '');
    const sliced =
      rule.kind === 'item'
        ? sliceRequest(pool.bytes, signal, at, end, most, topicAt, (topic, from, to) =>
            join(topic, ofItem(rule.tag, from, to)),
          )
        : null;
    // Memory that is never there would be waited for without end.
    const pieces =
      sliced !== null && bytesOfAll(sliced) <= pool.bytes.length / SHARE_OF_POOL
        ? sliced
        : splitRequest(pool.bytes, signal, at, end, most, (from, to) => join(topicAt(from, to), keyAt(from, to)));
    // A request without entries has no resource.
    const none = isFixed ? '' : topicOf(config, stream, signal, () => '');
    return pieces.map((piece) => {
      if (isFixed) return { ...piece, topic: null };
      const split = piece.key.indexOf(SEPARATOR);
      return { ...piece, key: piece.key.slice(split + 1), topic: piece.key.slice(0, Math.max(0, split)) || none };
    });
  };
}

function bytesOfAll(pieces: readonly RequestPiece[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0);
}

function join(topic: string, key: string): string {
  return topic === '' ? key : `${topic}${SEPARATOR}${key}`;
}
