/** The bound of the dead letters alone: what may not go yet, and what comes while others go. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { LetterBound } from '../../src/sinks/letterBound.ts';
import { temporaryFolder } from './harness.ts';

const START_MS = 1_750_000_000_000;
/** Two files of a block each. */
const LETTER_BYTES = 8192;

function createBound(directory: string, letters: number, mayDelete: (sequence: number) => boolean) {
  const deleted: string[] = [];
  const bound = new LetterBound({
    directory,
    limits: { bytes: letters * LETTER_BYTES, ageMs: Infinity },
    log: pino({ level: 'silent' }),
    now: () => START_MS,
    mayDelete: ({ sequence }) => mayDelete(sequence),
    deleted: ({ sequence }) => deleted.push(sequence),
  });
  const write = (sequence: number) => {
    const path = join(directory, `letter_${sequence}`);
    const said = {
      agent: 'a',
      sink: 's',
      stream: 'raw',
      signal: 'traces',
      sequence: `${sequence}`,
      items: 1,
      reason: 'no',
    };
    writeFileSync(`${path}.binpb`, 'x');
    writeFileSync(`${path}.json`, JSON.stringify(said));
    // The lower, the older.
    utimesSync(`${path}.json`, new Date(START_MS), new Date(START_MS + sequence));
    bound.add([1]);
  };
  const left = () =>
    readdirSync(directory)
      .flatMap((name) => /^letter_(\d+)\.json$/.exec(name)?.slice(1) ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  return { bound, write, left, deleted };
}

test('a letter whose items are not counted yet stays, and goes with the next one when they are', async (t) => {
  let countedBelow = 2;
  const { bound, write, left, deleted } = createBound(temporaryFolder(t), 3, (sequence) => sequence < countedBelow);
  for (let sequence = 1; sequence <= 5; sequence++) write(sequence);
  await bound.sweep();
  assert.deepEqual([left(), deleted], [[2, 3, 4, 5], ['1']]);
  countedBelow = 100;
  write(6);
  await bound.sweep();
  assert.deepEqual(left(), [5, 6]);
});

test('a letter that redeliver has sent meanwhile is not told as given up', async (t) => {
  const directory = temporaryFolder(t);
  const { bound, write, left, deleted } = createBound(directory, 3, (sequence) => {
    if (sequence !== 1) return true;
    for (const name of ['letter_1.binpb', 'letter_1.json', 'letter_2.binpb', 'letter_2.json'])
      rmSync(join(directory, name));
    return true;
  });
  for (let sequence = 1; sequence <= 5; sequence++) write(sequence);
  await bound.sweep();
  assert.deepEqual([left(), deleted], [[4, 5], ['3']]);
});

test('letters that come while others go are counted by the next sweep', async (t) => {
  const { bound, write, left } = createBound(temporaryFolder(t), 3, () => true);
  for (let sequence = 1; sequence <= 4; sequence++) write(sequence);
  const sweeping = bound.sweep();
  // The directory has been listed by the time the first letter is gone.
  while (left().length === 4) await new Promise((resolve) => setImmediate(resolve));
  write(5);
  write(6);
  await sweeping;
  assert.deepEqual(left(), [3, 4, 5, 6]);
  await bound.sweep();
  assert.deepEqual(left(), [5, 6]);
});
