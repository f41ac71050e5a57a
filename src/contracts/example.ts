/** Examples within a contract: telemetry in a few words, and the states it must lead to. Their schema; src/cli/check runs them. */
import type { Static } from 'typebox';
import { Type } from '../core/type.ts';
import { STATES, type State } from './judged.ts';

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
const Values = Type.Record(Type.String(), Scalar, {
  description:
    'Attributes and intrinsic keys (span.name, span.kind, status, severity, body); resource.KEY for the resource',
});
const duration = (description: string) => Type.String({ format: 'duration', description });

/** Defaults that faults speak of, too. */
export const SPREAD_OVER = '60s';
export const METRIC_EVERY = '10s';

/** What every kind of telemetry in an example has. Defaults stand in src/cli/check: a schema fills in none within a choice. */
const SPREAD = {
  count: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000, description: 'How many; default 100' })),
  over: Type.Optional(duration('Spread evenly over this long; default 60s')),
  set: Type.Optional(Values),
};
const Vary = <Changes extends Parameters<typeof Type.Record>[1]>(changes: Changes) =>
  Type.Optional(
    Type.Record(Type.String({ pattern: '^\\d+(\\.\\d+)?%$' }), changes, {
      description: 'Shares of them that are different, evenly spread: 50%: { status: error }',
    }),
  );

const Spans = Type.Object(
  { ...SPREAD, duration: Type.Optional(duration('How long each takes; default 10ms')), vary: Vary(Values) },
  { additionalProperties: false, description: 'Spans; `duration` may be varied, too' },
);
const Logs = Type.Object(
  { ...SPREAD, vary: Vary(Values) },
  { additionalProperties: false, description: 'Log records' },
);
const Metric = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Name of the metric' }),
    type: Type.Union([Type.Literal('gauge'), Type.Literal('sum'), Type.Literal('histogram')], {
      description: 'Kind of its points',
    }),
    unit: Type.Optional(Type.String({ description: 'Unit as the metric says it: s, ms, By, {row}' })),
    every: Type.Optional(duration('How often a point is exported; default 10s')),
    value: Type.Optional(
      Type.Union([Type.Number(), Type.Array(Type.Number(), { minItems: 1 })], {
        description:
          'Of a gauge its value, of a sum what each point adds, of a histogram what is recorded; a list in turn',
      }),
    ),
    ...SPREAD,
    vary: Vary(Values),
  },
  { additionalProperties: false, description: 'A metric: `count` is how many a histogram records in all' },
);
const list = <Kind extends typeof Spans | typeof Logs | typeof Metric>(kind: Kind) =>
  Type.Optional(Type.Union([kind, Type.Array(kind, { minItems: 1 })]));

export const exampleSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'What it shows, in a few words' }),
    spans: list(Spans),
    logs: list(Logs),
    metrics: list(Metric),
    then_silent_for: Type.Optional(duration('How long nothing comes afterwards')),
    expect: Type.Record(Type.String(), Type.Unsafe<State>(Type.Union(STATES.map((state) => Type.Literal(state)))), {
      minProperties: 1,
      description: 'State of each signal at the end, by its name',
    }),
  },
  { additionalProperties: false },
);
export type Example = Static<typeof exampleSchema>;
