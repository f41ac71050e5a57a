/** `sample`: decides with hindsight which traces and log records are forwarded, and writes down why and with which probability. */
import { ruleFault } from '../../contracts/conditionFaults.ts';
import type { ContractPlan } from '../../contracts/plan.ts';
import { millisecondsOf } from '../../core/units.ts';
import { encodePlain } from '../../otlp/json.ts';
import type { Addition, ProcessorDefinition, TraceTableHandle } from '../processor.ts';
import { classesOf } from './classes.ts';
import { config, type SampleConfig } from './config.ts';
import { createMarker } from './mark.ts';
import { createObserver } from './observer.ts';
import type { SavedOperations } from './operations.ts';
import { createSelector } from './select.ts';
import { SLOT_MS, settledSlot } from './slots.ts';
import { createTraceTable } from './traceTable.ts';

export const sample: ProcessorDefinition = {
  type: 'sample',
  summary: 'Keeps the telling few per cent: whole local traces, decided when it is known how they ended.',
  kind: 'selector',
  isSingle: true,
  config,
  fault: (given) => ruleFault('rules', (given as SampleConfig).rules),
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
  return createTraceTable(given.traces, millisecondsOf(given.wait), nowMs, lagMs);
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
  return encodePlain('KeyValue', { key, value });
}
