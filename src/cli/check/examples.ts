/** Runs a contract's examples: their telemetry is measured, and judged second by second, by what judges in production. */
import type { Example } from '../../contracts/example.ts';
import { judgeSignal } from '../../contracts/judge.ts';
import { type State, worstState } from '../../contracts/judged.ts';
import type { ContractFile } from '../../contracts/read.ts';
import { whyOf } from '../../contracts/words.ts';
import { millisecondsOf } from '../../core/units.ts';
import { createMeasuring } from './measure.ts';
import { arrivalsOf, lengthOf } from './telemetry.ts';

export interface ExampleResult {
  file: string;
  example: string;
  /** Signals whose state is another than expected. */
  differing: { signal: string; expected: State; found: State; why: string }[];
}

/** A whole minute, so that every run is the same. */
const START_S = 1_750_000_020;

export function runExamples({ file, plan, examples }: ContractFile): ExampleResult[] {
  return examples.map((example) => ({ file, example: example.name, differing: runExample(example, plan) }));
}

function runExample(example: Example, plan: ContractFile['plan']): ExampleResult['differing'] {
  const measuring = createMeasuring([plan], false);
  const arrivals = arrivalsOf(example, plan, START_S * 1000);
  const silentMs = millisecondsOf(example.then_silent_for ?? '0');
  const lastSecond = START_S + Math.ceil((lengthOf(example) + silentMs) / 1000);
  let next = 0;
  for (let second = START_S; second <= lastSecond; second++) {
    for (let one = arrivals[next]; one !== undefined && one.receivedMs < second * 1000; one = arrivals[++next])
      measuring.add(one.signal, one.bytes, one.receivedMs);
    for (const signal of plan.signals)
      for (const { memory } of measuring.instancesOf(signal)) judgeSignal(signal, memory, second);
  }
  return plan.signals.flatMap((signal) => {
    const expected = example.expect[signal.name];
    const all = measuring.instancesOf(signal).map(({ memory }) => memory.judged);
    const found = worstState(all.map(({ state }) => state));
    if (expected === undefined || expected === found) return [];
    const judged = all.find(({ state }) => state === found) ?? { value: 0, items: 0 };
    return [{ signal: signal.name, expected, found, why: whyOf(signal, judged.value, judged.items) }];
  });
}
