/** What the tests of delivery share: a started scripted sink, frames to give it, what came of them. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createHarness, type Harness, namesIn, spans } from './harness.ts';
import type { Call, Scripted } from './scripted.ts';

export const SECTION = { type: 'scripted', subscribe: ['raw'] };
export const ROW = { stream: 'raw', signal: 'traces' } as const;

export function mockClock(t: TestContext): (ms: number) => void {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.UTC(2025, 5, 1, 12, 30) });
  return (ms) => t.mock.timers.tick(ms);
}

/** Appends frames of one span each, so large that two make a batch. */
export function fill({ source }: Harness, count: number): void {
  for (let i = 0; i < count; i++) source.append('raw', 'traces', spans(i, i + 1, 'checkout', 1800));
}

export function namesOf(calls: readonly Call[]): string[] {
  return calls.flatMap(({ payloads }) => payloads.flatMap(namesIn));
}

export function allNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

export function started(sink: Scripted, changes = {}): Harness {
  const harness = createHarness(sink.definition, SECTION, changes);
  harness.delivery.start();
  return harness;
}

export async function ended({ delivery, source, pool }: Harness): Promise<void> {
  await delivery.close(Date.now() + 1000);
  assert.equal(source.lent, 0, 'batches were not released');
  assert.equal(pool.unitsInUse, 0, 'memory was not released');
}
