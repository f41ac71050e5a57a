/** `detect`: holds what was measured against the contracts every second; a change of state becomes an event. */
import type { Static } from 'typebox';
import { ContractMeasure } from '../../contracts/measure.ts';
import { Type } from '../../core/type.ts';
import { millisecondsOf } from '../../core/units.ts';
import type { Measurer, ProcessorDefinition, Views } from '../processor.ts';
import { createObserver, type Saved } from './observer.ts';

const config = Type.Object(
  {
    every: Type.String({
      format: 'positive_duration',
      default: '10s',
      description: 'How often values and states are sent as metrics; they are judged every second',
    }),
  },
  { additionalProperties: false },
);

export const detect: ProcessorDefinition = {
  type: 'detect',
  summary: 'Judges contracts every second; changes of state become events.',
  kind: 'observer',
  isSingle: true,
  config,
  measurer: (_, views) => createMeasurer(views),
  observer: (given, context, saved) =>
    createObserver(millisecondsOf((given as Static<typeof config>).every), context, saved as Saved | null),
};

function createMeasurer(views: Views): Measurer {
  const measure = new ContractMeasure(views.contracts, views.reader, views.span, views.log, views.point);
  let nowMs = 0;
  return {
    reset(receivedMs) {
      nowMs = receivedMs;
      measure.reset();
    },
    enterResource: (envelope) => measure.enterResource(envelope),
    span: (span, envelope) => measure.span(span, envelope, nowMs),
    log: (log, envelope) => measure.log(log, envelope, nowMs),
    metric: (metric) => measure.metric(metric),
    point: (point, metric, envelope) => measure.point(point, metric, envelope, nowMs),
    size: () => measure.size(),
    write: (out, at) => measure.write(out, at),
  };
}
