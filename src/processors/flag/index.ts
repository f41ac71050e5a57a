/** `flag`: says when a service does what it has not done before; a hint for people and for sampling, never a page. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';
import { millisecondsOf, shareOf } from '../../core/units.ts';
import type { ProcessorDefinition } from '../processor.ts';
import { WARM_UP_POINTS } from './detector.ts';
import { createMeasurer } from './measure.ts';
import { createObserver, type SavedFlags } from './observer.ts';

/** Scores from here on are flags: less than one a week in a series of pure noise (docs/anomalies.md). */
export const DEFAULT_THRESHOLD = 7.5;

const config = Type.Object(
  {
    every: Type.String({ format: 'positive_duration', default: '5s', description: 'How often values are judged' }),
    threshold: Type.Number({
      minimum: 0,
      default: DEFAULT_THRESHOLD,
      description: 'Score from which on a point is flagged; a lower one flags more',
    }),
    margin: Type.String({
      format: 'share',
      default: '20%',
      description: 'A value that is within this share of what was expected is never flagged',
    }),
    warm_up: Type.Integer({
      minimum: 1,
      default: WARM_UP_POINTS,
      description: 'Points that a series has to have before it may be flagged',
    }),
    repeat: Type.String({
      format: 'duration',
      default: '10m',
      description: 'The next flag of a series is told no sooner than this after the last',
    }),
    metrics: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      maxItems: 100,
      description: 'Names of incoming metrics to watch: gauges by their value, sums by their increase',
    }),
    max_series: Type.Integer({
      minimum: 1,
      default: 1000,
      description: 'Most series watched at once, 2 KB each, also in the checkpoint; a service takes four',
    }),
  },
  { additionalProperties: false },
);
type Config = Static<typeof config>;

export const flag: ProcessorDefinition = {
  type: 'flag',
  summary: 'Flags what a service has not done before: rate, errors, latency, contract values, chosen metrics.',
  kind: 'observer',
  isSingle: true,
  config,
  measurer: (given, views) => createMeasurer(views, (given as Config).metrics),
  observer(given, context, saved) {
    const { every, threshold, margin, warm_up, repeat, max_series } = given as Config;
    const options = {
      everyMs: millisecondsOf(every),
      threshold,
      margin: shareOf(margin),
      warmUpPoints: warm_up,
      repeatMs: millisecondsOf(repeat),
      maxSeries: max_series,
    };
    return createObserver(options, context, saved as SavedFlags | null);
  },
};
