/** The contract language as it is written: its schema. planner.ts says what it means. */
import type { Static } from 'typebox';
import { Type } from '../core/type.ts';
import { exampleSchema } from './example.ts';

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
const Operators = Type.Object(
  {
    gt: Type.Optional(Type.Number({ description: 'greater than' })),
    gte: Type.Optional(Type.Number({ description: 'greater than or equal' })),
    lt: Type.Optional(Type.Number({ description: 'less than' })),
    lte: Type.Optional(Type.Number({ description: 'less than or equal' })),
    like: Type.Optional(Type.String({ description: 'text with * for any characters' })),
    exists: Type.Optional(Type.Boolean({ description: 'whether the key is there at all' })),
    not: Type.Optional(
      Type.Union([Scalar, Type.Array(Scalar)], { description: 'anything but this; a missing key passes' }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
);
/** All keys must match; a list of values means any of them. */
export const Conditions = Type.Record(Type.String(), Type.Union([Scalar, Type.Array(Scalar), Operators]), {
  minProperties: 1,
  description:
    'Keys and the values they must have; all must match. span.name, span.kind, status, severity and body are intrinsic.',
});
export type ConditionMap = Static<typeof Conditions>;

const duration = (description: string, byDefault?: string) =>
  byDefault === undefined
    ? Type.String({ format: 'duration', description })
    : Type.String({ format: 'duration', description, default: byDefault });
const words = <Word extends string>(list: readonly Word[], description: string) =>
  Type.Unsafe<Word>(
    Type.Union(
      list.map((word) => Type.Literal(word)),
      { description },
    ),
  );
const nameOrNames = (description: string) =>
  Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
    description,
  });

const TAKES = ['last', 'min', 'max', 'mean', 'sum', 'p50', 'p75', 'p90', 'p95', 'p99', 'p99.9'] as const;
export type Take = (typeof TAKES)[number];
const ACROSS = ['max', 'min', 'sum', 'mean'] as const;
export type Across = (typeof ACROSS)[number];
/** Keys that are no attributes, and whose they are. */
export const INTRINSICS_OF: ReadonlyMap<string, 'spans' | 'logs'> = new Map([
  ['span.name', 'spans'],
  ['span.kind', 'spans'],
  ['status', 'spans'],
  ['severity', 'logs'],
  ['body', 'logs'],
]);
/** Names of the integers that kinds and status codes are, by intrinsic key and in the order of their numbers. */
export const ENUM_NAMES: ReadonlyMap<string, readonly string[]> = new Map([
  ['span.kind', ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']],
  ['status', ['unset', 'ok', 'error']],
]);

export const NO_DATA = ['freeze', 'ignore', 'breached'] as const;

const HAS_METRIC = 'a signal over metrics has "metric: NAME" instead of "of"';
const OF = Type.Unsafe<'spans' | 'logs'>(
  Type.Union([Type.Literal('spans'), Type.Literal('logs')], {
    description: 'What is counted; a signal over metrics has `metric` instead',
    // Words that are known from elsewhere.
    'x-instead': {
      ...{ metrics: HAS_METRIC, metric: HAS_METRIC },
      ...{ traces: 'did you mean "spans"?', trace: 'did you mean "spans"?' },
      ...{ records: 'did you mean "logs"?', log_records: 'did you mean "logs"?' },
    },
  }),
);

const Signal = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Name of the signal, unique within the contract' }),
    of: Type.Optional(OF),
    metric: Type.Optional(nameOrNames('Name of the metric, or names: those that it has had')),
    where: Type.Optional(Conditions),
    bad: Type.Optional(
      Type.Union([Conditions, Type.Array(Conditions, { minItems: 1 })], {
        description: 'An item is bad when any of these matches; the value is the share of bad items',
      }),
    ),
    slower_than: Type.Optional(duration('What took longer is bad; the value is the share of slow items')),
    rate: Type.Optional(Type.Literal(true, { description: 'The value is how many there are a second' })),
    take: Type.Optional(words(TAKES, 'The value is this of a number: of `value` of spans, or of the metric')),
    silent_for: Type.Optional(
      Type.String({ format: 'positive_duration', description: 'Breached when nothing came for so long' }),
    ),
    value: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'What is taken of a span: duration, or a numeric attribute; of a histogram, with rate: sum',
      }),
    ),
    across: Type.Optional(words(ACROSS, 'How the series of a metric are joined; default max, of sums sum')),
    objective: Type.Optional(
      Type.String({
        format: 'share',
        description: 'Share of good items that is promised; breached when its budget burns too fast',
      }),
    ),
    degraded: Type.Optional(Type.String({ description: 'For example "above 1%"' })),
    breached: Type.Optional(Type.String({ description: 'For example "above 5%", "below 10/s", "above 300ms"' })),
    window: Type.Optional(duration("Measured over; default: the contract's")),
    min_items: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Fewer items say nothing; default 50, for values and rates 1' }),
    ),
  },
  { additionalProperties: false },
);

export const contractSchema = Type.Object(
  {
    contract: Type.Literal('v1', { description: 'Version of this language' }),
    service: Type.String({ minLength: 1, description: "The resource's service.name" }),
    namespace: Type.Optional(Type.String({ minLength: 1, description: "The resource's service.namespace" })),
    environment: Type.Optional(
      Type.String({ minLength: 1, description: "The resource's deployment.environment.name (or .environment)" }),
    ),
    service_version: Type.Optional(Type.String({ minLength: 1, description: "The resource's service.version" })),
    owner: Type.Optional(Type.String({ description: 'Who is responsible; appears in events' })),
    where: Type.Optional(Conditions),
    signals: Type.Array(Signal, {
      minItems: 1,
      maxItems: 16,
      description: 'What says whether the service is healthy; three is the idea',
    }),
    window: duration('Measured over', '1m'),
    for: duration('How long a worse value must hold before the state changes', '10s'),
    recover_after: duration('How long a better value must hold before the state changes back', '1m'),
    min_items: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Fewer items say nothing; a signal may have its own' }),
    ),
    no_data: Type.Unsafe<(typeof NO_DATA)[number]>(
      Type.Union(
        NO_DATA.map((word) => Type.Literal(word)),
        { default: 'freeze', description: 'What too few items mean once there were enough' },
      ),
    ),
    late_after: duration('Items whose own time is further behind are not judged', '2m'),
    per: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'A resource attribute, such as service.instance.id: each of its values is judged, the worst counts',
      }),
    ),
    on_breach: Type.Object(
      {
        keep: Type.String({
          format: 'share',
          default: '100%',
          description: 'Share of the traces through the service that is sampled while the contract is broken',
        }),
        look_back: duration('How much of what the service sent before the breach is sampled after all', '2m'),
        budget: Type.String({
          format: 'rate',
          default: '20MiB/min',
          description: 'Bytes that a look-back may forward for each of its minutes; it is thinned to that',
        }),
      },
      {
        additionalProperties: false,
        default: {},
        description: 'What is sampled of a service whose contract breaks, within what `sample` and `journal` allow',
      },
    ),
    upstream_sampling: Type.Optional(
      Type.String({
        format: 'share',
        description: 'Share of the spans that a sampler before this agent lets pass without writing it down',
      }),
    ),
    examples: Type.Optional(
      Type.Array(exampleSchema, { description: 'Telemetry with the states it must give; `plumbline check` runs them' }),
    ),
  },
  { additionalProperties: false },
);
export type ContractSource = Static<typeof contractSchema>;
export type SignalSource = ContractSource['signals'][number];
