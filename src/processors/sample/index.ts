/** `sample`: decides with hindsight which traces and log records are forwarded, and writes down why and with which probability. */
import { type Static, Type } from 'typebox';
import { parseDurationMs, parseShare } from '../../core/units.ts';
import { messageType } from '../../otlp/schema.ts';
import { thresholdOf } from '../../otlp/tracestate.ts';
import type { Addition, Observer, ObserverContext, ProcessorDefinition, TraceTableHandle } from '../processor.ts';
import { createMarker, MARK_ROW_BYTES } from './mark.ts';
import { createSelector } from './select.ts';
import { ANOMALOUS, BASE, CLASSES, createTraceTable, TraceTable } from './traceTable.ts';

const share = (description: string, byDefault: string) =>
  Type.String({ format: 'share', default: byDefault, description });

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
        slow: share("Share of the traces with a span slower than a contract's slower_than", '100%'),
        anomalous: share('Share of the traces through a service that `flag` has flagged, while the flag lasts', '100%'),
      },
      { additionalProperties: false, default: {}, description: 'Shares of the classes' },
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
  measurer: (_, views) => createMarker(views),
  observer: (_, context) => createObserver(context),
  selector: (given, views) => createSelector(additionsOf(given as SampleConfig), views),
};

/** The table a configured `sample` needs. */
export function traceTableFor(given: SampleConfig, nowMs: number): TraceTableHandle {
  return createTraceTable(given.traces, waitMsOf(given), nowMs);
}

export function waitMsOf(given: SampleConfig): number {
  return parseDurationMs(given.wait) ?? 10_000;
}

/** One addition for each class, then one for each class of items kept without their trace. */
function additionsOf({ base, keep }: SampleConfig): Addition[] {
  const shares = { base, ...keep };
  const whole = CLASSES.map((name) => ({
    attributes: [attribute('plumbline.kept', { stringValue: name })],
    threshold: thresholdOf(parseShare(shares[name]) ?? 1),
  }));
  const partial = whole.map(({ attributes, threshold }) => ({
    attributes: [...attributes, attribute('plumbline.partial', { boolValue: true })],
    threshold,
  }));
  return [...whole, ...partial];
}

function attribute(key: string, value: Record<string, unknown>): Buffer {
  const type = messageType('KeyValue');
  return Buffer.from(type.encode(type.fromObject({ key, value })).finish());
}

/** Main keeps the table; it is rebuilt from the journal after a restart, so nothing is saved. */
function createObserver(context: ObserverContext): Observer {
  const table = context.traces === null ? null : new TraceTable(context.traces);
  let told = 0;
  return {
    merge(out, at, end, receivedMs) {
      if (table === null) return;
      for (let row = at; row < end; row += MARK_ROW_BYTES) {
        const found = out.getUint32(row + 8, true);
        const until = context.flagged.get(out.getUint32(row + 12, true)) ?? 0;
        const traceClass = found === BASE && receivedMs < until ? ANOMALOUS : found;
        table.mark(out.getUint32(row, true), out.getUint32(row + 4, true), receivedMs, traceClass);
      }
    },
    tick() {
      if (table !== null && table.evicted > told) {
        context.telemetry.tracesEvicted.inc(table.evicted - told);
        told = table.evicted;
      }
      return [];
    },
    save: () => null,
  };
}
