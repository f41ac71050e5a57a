/** `summarize`: calls, errors and durations by service and operation, log records by severity; from every item, before any sampling. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';
import { millisecondsOf } from '../../core/units.ts';
import type { ProcessorDefinition } from '../processor.ts';
import { SummaryMeasurer } from './measure.ts';
import { createObserver } from './merge.ts';

const config = Type.Object(
  {
    every: Type.String({ format: 'positive_duration', default: '10s', description: 'How often a summary is sent' }),
    max_groups: Type.Integer({
      minimum: 1,
      default: 5000,
      description:
        'Most combinations of service, operation, kind and status in one summary; the rest is counted as otel.metric.overflow',
    }),
  },
  { additionalProperties: false },
);
type Config = Static<typeof config>;

export const summarize: ProcessorDefinition = {
  type: 'summarize',
  summary: 'Summaries per service and operation, from every item, before any sampling.',
  kind: 'observer',
  isSingle: true,
  config,
  measurer: (_, views) => new SummaryMeasurer(views),
  observer(given, context, saved) {
    const { every, max_groups } = given as Config;
    return createObserver(millisecondsOf(every), max_groups, context, saved);
  },
};
