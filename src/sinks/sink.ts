/** The keys that every sink takes beside its own and beside `type`, `name` and `optional`, which src/config.ts adds. */
import type { Static, TObject } from 'typebox';
import { STREAMS } from '../core/block.ts';
import type { SinkDefinition } from '../core/component.ts';
import { Type } from '../core/type.ts';
import { parseBytes, parseDurationMs, parseTimerMs } from '../core/units.ts';

const Stream = Type.Union(STREAMS.map((stream) => Type.Literal(stream)));
const Destination = Type.String({ minLength: 1, maxLength: 249 });

const SUBSCRIPTIONS = {
  list: Type.Array(Stream, { minItems: 1, uniqueItems: true, description: 'Streams this sink takes.' }),
  map: Type.Object(
    {
      raw: Type.Optional(Destination),
      sampled: Type.Optional(Destination),
      summaries: Type.Optional(Destination),
      events: Type.Optional(Destination),
    },
    {
      minProperties: 1,
      description: 'Streams this sink takes and where each goes; {signal} stands for spans, metrics or logs.',
    },
  ),
};

const duration = (text: string, description: string) =>
  Type.String({ format: 'positive_duration', default: text, description });

const EVERY_SINK = {
  retry: Type.Object(
    {
      initial: duration('1s', 'Longest wait before the second attempt; doubled before each that follows.'),
      max: duration('30s', 'Longest wait before any attempt.'),
      give_up_after: Type.Literal('never', {
        default: 'never',
        description: 'Retrying ends when the journal is full, not before.',
      }),
    },
    { default: {}, description: 'How a batch that was not taken is sent again.' },
  ),
  timeout: duration('30s', 'How long one attempt may take; of an upload to S3, how long nothing of it may move.'),
  max_lag: Type.Union([Type.Literal('none'), Type.String({ format: 'positive_bytes' })], {
    default: 'none',
    description:
      'Journal bytes kept for this sink alone, in whole segments; what is older is given up, counted as expired, so that one dead sink cannot fill the journal for the others.',
  }),
  dead_letter: Type.String({
    default: '',
    description: 'Directory for what the destination refuses for good. Default: dead_letter/NAME below agent.data_dir.',
  }),
  dead_letter_retain: Type.Object(
    {
      size: Type.Union([Type.Literal('none'), Type.String({ format: 'positive_bytes' })], {
        default: '1GiB',
        description: 'The oldest dead letters go when all together take more on disk; none keeps them.',
      }),
      age: Type.Union([Type.Literal('none'), Type.String({ format: 'positive_duration' })], {
        default: '30d',
        description: 'Dead letters go at this age; none keeps them.',
      }),
    },
    {
      default: {},
      description:
        'Looked at whenever a dead letter is written. What goes is counted as expired and told as plumbline.loss.',
    },
  ),
};

/** The whole schema of one sink's section but `type`, `name` and `optional`. */
export function sinkConfig(definition: SinkDefinition): TObject {
  return Type.Object({
    subscribe: SUBSCRIPTIONS[definition.subscribe],
    ...EVERY_SINK,
    concurrency: Type.Integer({
      minimum: 1,
      maximum: 64,
      default: definition.concurrency,
      description: 'Batches of one stream and signal in flight at once; 1 keeps their order.',
    }),
    ...definition.config.properties,
  });
}

const Common = Type.Object({ ...EVERY_SINK, concurrency: Type.Integer() });

/** What a validated section says about delivery, in numbers. */
export function deliveryOf(config: unknown, deadLetterDefault: string | null) {
  // Validated by src/config.ts against sinkConfig().
  const section = config as Static<typeof Common> & { subscribe: readonly string[] | Record<string, string> };
  const subscribed = Array.isArray(section.subscribe) ? section.subscribe : Object.keys(section.subscribe);
  return {
    streams: STREAMS.filter((stream) => subscribed.includes(stream)),
    retry: {
      initialMs: parseTimerMs(section.retry.initial) ?? 0,
      maxMs: parseTimerMs(section.retry.max) ?? 0,
    },
    timeoutMs: parseTimerMs(section.timeout) ?? 0,
    maxLagBytes: parseBytes(section.max_lag) ?? Infinity,
    concurrency: section.concurrency,
    deadLetter: section.dead_letter || deadLetterDefault,
    letterLimits: {
      bytes: parseBytes(section.dead_letter_retain.size) ?? Infinity,
      ageMs: parseDurationMs(section.dead_letter_retain.age) ?? Infinity,
    },
  };
}
