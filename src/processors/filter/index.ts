/** `filter`: keeps items out of `sampled`, and of `raw` where it says so, by conditions as contracts have them. */
import type { Static } from 'typebox';
import { ruleFault } from '../../contracts/conditionFaults.ts';
import { Conditions } from '../../contracts/contract.ts';
import { createItems } from '../../contracts/items.ts';
import { type Condition, compileConditions, matchesAll } from '../../contracts/match.ts';
import { Type } from '../../core/type.ts';
import { readLogRecord } from '../../otlp/logs.ts';
import { readSpan } from '../../otlp/traces.ts';
import {
  type Dropper,
  FILTERED,
  NO_OPINION,
  type ProcessorDefinition,
  type Selector,
  type Views,
} from '../processor.ts';

const config = Type.Object(
  {
    drop: Type.Array(
      Type.Object(
        {
          of: Type.Union([Type.Literal('spans'), Type.Literal('logs')], { description: 'What the rule is about' }),
          where: Conditions,
        },
        { additionalProperties: false },
      ),
      {
        minItems: 1,
        description:
          'An item that matches any of these is not forwarded in `streams`; it stays in the journal and in every count',
      },
    ),
    streams: Type.Array(Type.Union([Type.Literal('raw'), Type.Literal('sampled')]), {
      minItems: 1,
      uniqueItems: true,
      default: ['sampled'],
      description: 'The streams it is about: `raw`, `sampled` or both',
    }),
  },
  { additionalProperties: false },
);
type Config = Static<typeof config>;

export const filter: ProcessorDefinition = {
  type: 'filter',
  summary: 'Drops spans and log records by conditions, from the sampled stream or from raw data, too.',
  kind: 'selector',
  config,
  fault: (given) => ruleFault('drop', (given as Config).drop),
  streams: (given) => (given as Config).streams,
  selector: (given, views) => createSelector(given as Config, views),
};

function createSelector({ drop }: Config, views: Views): Selector {
  const rules = (of: 'spans' | 'logs'): Condition[][] =>
    drop.filter((rule) => rule.of === of).map((rule) => compileConditions(rule.where));
  const spanRules = rules('spans');
  const logRules = rules('logs');
  const { spanItem, logItem } = createItems(views.span, views.log, views.reader);
  const dropper: Dropper = {
    span(envelope) {
      for (const rule of spanRules) if (matchesAll(rule, spanItem, envelope, views.reader)) return true;
      return false;
    },
    log(envelope) {
      for (const rule of logRules) if (matchesAll(rule, logItem, envelope, views.reader)) return true;
      return false;
    },
  };
  return {
    additions: [],
    threshold: { high: 0, low: 0 },
    randomness: null,
    dropper,
    begin() {},
    span(at, end, envelope) {
      if (spanRules.length === 0) return NO_OPINION;
      envelope.load();
      readSpan(views.reader, at, end, views.span);
      return dropper.span(envelope) ? FILTERED : NO_OPINION;
    },
    log(at, end, envelope) {
      if (logRules.length === 0) return NO_OPINION;
      envelope.load();
      readLogRecord(views.reader, at, end, views.log);
      return dropper.log(envelope) ? FILTERED : NO_OPINION;
    },
  };
}
