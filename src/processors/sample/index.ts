/** `sample`: decides with hindsight which traces and log records are forwarded, and writes down why and with which probability. */
import type { Static } from 'typebox';
import { Conditions } from '../../contracts/contract.ts';
import type { ContractPlan } from '../../contracts/plan.ts';
import { Type } from '../../core/type.ts';
import { parseDurationMs } from '../../core/units.ts';
import { messageType } from '../../otlp/schema.ts';
import type { Addition, ProcessorDefinition, TraceTableHandle } from '../processor.ts';
import { classesOf, MOST_RULES } from './classes.ts';
import { createMarker } from './mark.ts';
import { createObserver } from './observer.ts';
import type { SavedOperations } from './operations.ts';
import { createSelector } from './select.ts';
import { SLOT_MS, settledSlot } from './slots.ts';
import { createTraceTable } from './traceTable.ts';

const share = (description: string, byDefault: string) =>
  Type.String({ format: 'share', default: byDefault, description });

const rule = Type.Object(
  {
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'Stands in `plumbline.rule` of what it keeps' }),
    ),
    of: Type.Unsafe<'spans' | 'logs'>(
      Type.Union([Type.Literal('spans'), Type.Literal('logs')], {
        default: 'spans',
        description: 'spans: of a trace that has such a span; logs: of such records',
      }),
    ),
    where: Conditions,
    keep: share('Share that is kept, in place of `base`', '100%'),
  },
  { additionalProperties: false },
);

const config = Type.Object(
  {
    wait: Type.String({
      format: 'duration',
      default: '10s',
      description: 'How long after its first item a trace is decided',
    }),
    base: share('Share of the traces about which nothing special is known', '10%'),
    keep: Type.Object(
      {
        error: share('Share of the traces with an error span, and of log records of severity error and above', '100%'),
        slow: share(
          "Share of the traces with a span slower than a contract's slower_than, or than `slower_than`",
          '100%',
        ),
        anomalous: share('Share of the traces through a service that `flag` has flagged, while the flag lasts', '100%'),
        rare: share('Share of the first trace of each operation in each minute', '100%'),
      },
      { additionalProperties: false, default: {}, description: 'Shares of the classes' },
    ),
    slower_than: Type.Unsafe<'none' | 'p90' | 'p95' | 'p99' | 'p99.9'>(
      Type.Union(
        ['none', 'p90', 'p95', 'p99', 'p99.9'].map((one) => Type.Literal(one)),
        {
          default: 'p99.9',
          description:
            'Quantile of its operation beyond which a span is slow, where no contract says; none: contracts alone say',
        },
      ),
    ),
    rules: Type.Array(rule, {
      default: [],
      maxItems: MOST_RULES,
      description: 'Shares of their own for what matches conditions; the first that matches counts',
    }),
    budget: Type.Union([Type.Literal('none'), Type.String({ format: 'rate' })], {
      default: 'none',
      description: 'Bytes of traces and log records that may be kept, held in each 10 s: errors first, base last',
    }),
    on_breach_max: Type.Object(
      {
        keep: share('Most that a contract may ask for while it is broken', '100%'),
        budget: Type.String({
          format: 'rate',
          default: '20MiB/min',
          description: 'Most that a look-back may forward for each of its minutes',
        }),
      },
      { additionalProperties: false, default: {}, description: 'Caps what `on_breach` of contracts may ask for' },
    ),
    traces: Type.Integer({ minimum: 1000, default: 262_144, description: 'Traces remembered at once; 32 bytes each' }),
  },
  { additionalProperties: false },
);
export type SampleConfig = Static<typeof config>;

export const sample: ProcessorDefinition = {
  type: 'sample',
  summary: 'Keeps the telling few per cent: whole local traces, decided when it is known how they ended.',
  kind: 'selector',
  config,
  measurer: (given, views) => createMarker(given as SampleConfig, views),
  observer: (given, context, saved) => createObserver(given as SampleConfig, context, saved as SavedOperations | null),
  selector: (given, views) => {
    const classes = classesOf(given as SampleConfig, views.contracts);
    return createSelector(given as SampleConfig, classes, additionsOf(given as SampleConfig, views.contracts), views);
  },
};

/** The table a configured `sample` needs. */
export function traceTableFor(given: SampleConfig, nowMs: number): TraceTableHandle {
  // With a budget a trace is decided when its whole slot is known.
  const lagMs = given.budget === 'none' ? 0 : SLOT_MS;
  return createTraceTable(given.traces, waitMsOf(given), nowMs, lagMs);
}

/** 0.99 of `p99`; null when nothing is learned. */
export function quantileOf({ slower_than }: SampleConfig): number | null {
  return slower_than === 'none' ? null : Number((Number(slower_than.slice(1)) / 100).toFixed(4));
}

export function waitMsOf(given: SampleConfig): number {
  return parseDurationMs(given.wait) ?? 10_000;
}

/** What was received before this (Unix milliseconds) may be decided, as far as budgets are concerned. */
export function settledMs({ slots, startMs, lagMs }: TraceTableHandle): number {
  return lagMs === 0 ? Infinity : startMs + settledSlot(new Uint32Array(slots)) * SLOT_MS;
}

/** One addition for each class, then one for each class of items kept without their trace. */
function additionsOf(given: SampleConfig, contracts: readonly ContractPlan[]): Addition[] {
  const whole = classesOf(given, contracts).map((one) => {
    if (one === null) return { attributes: [] };
    const rules = one.rule === null ? [] : [keyValue('plumbline.rule', { stringValue: one.rule })];
    return { attributes: [keyValue('plumbline.kept', { stringValue: one.kept }), ...rules] };
  });
  const partial = whole.map(({ attributes }) => ({
    attributes: [...attributes, keyValue('plumbline.partial', { boolValue: true })],
  }));
  return [...whole, ...partial];
}

function keyValue(key: string, value: Record<string, unknown>): Buffer {
  const type = messageType('KeyValue');
  return Buffer.from(type.encode(type.fromObject({ key, value })).finish());
}
