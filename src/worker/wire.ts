// HOT: twice per task. Bench: bench/micro/worker/wire.bench.ts
/**
 * Tasks and results as they cross between main and a worker: the usual ones as arrays of numbers, which V8 copies at a third of what it
 * takes for objects, whose keys it writes and looks up one by one; all others as they are.
 */
import { SIGNALS } from '../core/block.ts';
import type { Failure, ObserveResult, ObserveTask, Result, Selected, SelectResult, SelectTask, Task } from './tasks.ts';

const OBSERVE = 0;
const SELECT = 1;
/** In the place of what is missing. */
const NONE = -1;
/** Times and sequences go as two small integers: one number beyond them would make doubles of all that stand in its array. */
const HALF = 2 ** 30;

export type WireTask = number[] | Task;
export type WireResult = number[] | Result<Task> | Failure;

export function packTask(task: Task): WireTask {
  if (task.kind === 'observe') return packObserve(task);
  if (task.kind === 'select' && task.decided.length === 0) return packSelect(task);
  return task;
}

export function unpackTask(wire: WireTask): Task {
  if (!Array.isArray(wire)) return wire;
  return wire[0] === OBSERVE ? unpackObserve(wire) : unpackSelect(wire);
}

/** `task`: what it is of. */
export function packResult(task: Task, result: Result<Task>): WireResult {
  if ('moved' in result) return packObserved(result);
  // A look-back's have the same shape; they are few.
  if (task.kind === 'select' && 'selected' in result) return packSelected(result);
  return result;
}

export function unpackResult(wire: WireResult): Result<Task> | Failure {
  if (!Array.isArray(wire)) return wire;
  return wire[0] === OBSERVE ? unpackObserved(wire) : unpackSelected(wire);
}

// observe: kind, receivedMs (high, low), measureOnly, room from, to | frames

function packObserve({ frames, receivedMs, measureOnly, shortlists }: ObserveTask): number[] {
  const wire = [OBSERVE, highOf(receivedMs), lowOf(receivedMs), measureOnly ? 1 : 0];
  wire.push(shortlists?.at ?? NONE, shortlists?.end ?? NONE);
  for (let i = 0; i < frames.length; i++) wire.push(frames[i]!);
  return wire;
}

function unpackObserve(wire: readonly number[]): ObserveTask {
  const receivedMs = wire[1]! * HALF + wire[2]!;
  const task: ObserveTask = { kind: 'observe', frames: wire.slice(6), receivedMs, measureOnly: wire[3] === 1 };
  if (wire[4] !== NONE) task.shortlists = { at: wire[4]!, end: wire[5]! };
  return task;
}

// its result: kind, regions, block of what was measured, sections, end of shortlists, shortlists | regions | sections | shortlists

function packObserved(result: ObserveResult): number[] | ObserveResult {
  const { moved, refused, measured, shortlists } = result;
  if (refused.length > 0 || shortlists === undefined) return result;
  const sections = measured?.sections ?? [];
  const shorts = shortlists?.frames ?? [];
  const wire = [
    OBSERVE,
    moved.length,
    measured?.block ?? NONE,
    sections.length,
    shortlists?.end ?? NONE,
    shorts.length,
  ];
  for (const { block, first, end } of moved) wire.push(block, first, end);
  for (const { processor, at, end } of sections) wire.push(processor, at, end);
  for (let i = 0; i < shorts.length; i++) wire.push(shorts[i]!);
  return wire;
}

function unpackObserved(wire: readonly number[]): ObserveResult {
  const [, regions, block, sectionCount, end, shorts] = wire as [number, number, number, number, number, number];
  const moved: ObserveResult['moved'] = [];
  let i = 6;
  for (; moved.length < regions; i += 3) moved.push({ block: wire[i]!, first: wire[i + 1]!, end: wire[i + 2]! });
  const sections: NonNullable<ObserveResult['measured']>['sections'] = [];
  for (; sections.length < sectionCount; i += 3)
    sections.push({ processor: wire[i]!, at: wire[i + 1]!, end: wire[i + 2]! });
  return {
    moved,
    refused: [],
    measured: block === NONE ? null : { block, sections },
    shortlists: end === NONE ? null : { frames: wire.slice(i, i + shorts), end },
  };
}

// select: kind, whether they are short, from by signal (high, low) | frames

function packSelect({ frames, isShort, from }: SelectTask): number[] {
  const wire = [SELECT, isShort === true ? 1 : 0];
  for (let signal = 0; signal < SIGNALS.length; signal++) wire.push(highOf(from[signal]!), lowOf(from[signal]!));
  for (let i = 0; i < frames.length; i++) wire.push(frames[i]!);
  return wire;
}

function unpackSelect(wire: readonly number[]): SelectTask {
  const from: number[] = [];
  let at = 2;
  for (; from.length < SIGNALS.length; at += 2) from.push(wire[at]! * HALF + wire[at + 1]!);
  const task: SelectTask = { kind: 'select', frames: wire.slice(at), from, decided: [] };
  if (wire[1] === 1) task.isShort = true;
  return task;
}

// its result: kind, block, filtered and sampled out by signal, unsure (or none) | unsure | selected

function packSelected({ block, selected, filtered, sampledOut, unsure }: SelectResult): number[] {
  const wire = [SELECT, block, ...filtered, ...sampledOut, unsure?.length ?? NONE, ...(unsure ?? [])];
  for (const { signal, at, length, items } of selected) wire.push(SIGNALS.indexOf(signal), at, length, items);
  return wire;
}

function unpackSelected(wire: readonly number[]): SelectResult {
  const filteredAt = 2;
  const sampledAt = filteredAt + SIGNALS.length;
  const unsureAt = sampledAt + SIGNALS.length;
  const unsureCount = wire[unsureAt]!;
  const selected: Selected[] = [];
  for (let i = unsureAt + 1 + Math.max(0, unsureCount); i < wire.length; i += 4)
    selected.push({ signal: SIGNALS[wire[i]!]!, at: wire[i + 1]!, length: wire[i + 2]!, items: wire[i + 3]! });
  const result: SelectResult = {
    block: wire[1]!,
    selected,
    filtered: wire.slice(filteredAt, sampledAt),
    sampledOut: wire.slice(sampledAt, unsureAt),
  };
  if (unsureCount !== NONE) result.unsure = wire.slice(unsureAt + 1, unsureAt + 1 + unsureCount);
  return result;
}

function highOf(number: number): number {
  return Math.floor(number / HALF);
}

function lowOf(number: number): number {
  return number % HALF;
}
