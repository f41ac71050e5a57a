/** Holds intake over a real journal: a task's regions that meet different ends, regions that fit a segment, memory of what is isolated. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { Encoding, FRAME_HEADER_BYTES, payloadLength } from '../../src/core/block.ts';
import { AgentError } from '../../src/core/errors.ts';
import { diskFiles } from '../../src/journal/files.ts';
import type { Journal } from '../../src/journal/journal.ts';
import { toOtlpJson } from '../../src/otlp/json.ts';
import { Intake } from '../../src/worker/intake.ts';
import { observe } from '../../src/worker/observe.ts';
import type { Outcome } from '../../src/worker/openBlock.ts';
import type { ObserveSource, WorkerPool } from '../../src/worker/pool.ts';
import type { ObserveResult, ObserveTask } from '../../src/worker/tasks.ts';
import {
  type BlockPool,
  FOLLOWER,
  filesWith,
  openJournal,
  segmentPath,
  temporaryDirectory,
} from '../journal/frames.ts';
import { createWorld, gzipped, NOW_MS, plainly, type Sent, span, traces } from './world.ts';

/** An intake in front of `append`, with a worker that does what waits when `work` is called. */
function createBench(
  append: (region: { first: number; end: number }) => Promise<void>,
  mostRegionBytes = Infinity,
  editors: object[] = [],
) {
  const world = createWorld({ maxBodyBytes: 4 << 20, units: 160, processors: [...editors, { type: 'summarize' }] });
  const { pool, parts, walk } = world;
  let source: ObserveSource = () => null;
  let killsNext = false;
  let failsAgain = false;
  const mergeFaults: string[] = [];
  const run = (task: ObserveTask): ObserveResult => {
    const result = observe(parts, walk, task);
    for (const block of new Set(result.moved.map((region) => region.block))) pool.adopt(block);
    if (result.measured !== null) pool.adopt(result.measured.block);
    return result;
  };
  const workers = {
    setObserveSource(given: ObserveSource) {
      source = given;
    },
    kick() {},
    run: async (task: ObserveTask) => {
      if (failsAgain) throw new AgentError('OVERLOADED', 'no memory');
      return run(task);
    },
  } as unknown as WorkerPool;
  /** Calls measured: of the rows that summarize writes. */
  let measured = 0;
  const intake = new Intake({
    blocks: pool,
    workers,
    editing: () => editors.length > 0,
    append,
    mostRegionBytes,
    merge(given) {
      const view = new DataView(pool.handle.memory);
      for (const { at } of given?.sections ?? [])
        for (let row = 0; row < view.getUint32(at, true); row++)
          measured += view.getFloat64(at + 8 + row * 64 + 32, true);
    },
    onPoison: () => {},
    onMergeFault: (message) => void mergeFaults.push(message),
    now: () => NOW_MS,
  });
  const submit = ({ signal, bytes, encoding }: Sent) =>
    intake.submit({ signal, encoding: encoding ?? Encoding.protobuf, chunks: [bytes], bytes: bytes.length });
  return {
    ...world,
    intake,
    measured: () => measured,
    mergeFaults,
    failAgain() {
      failsAgain = true;
    },
    killNext() {
      killsNext = true;
    },
    /** Resolves to the answers, with one task after the other worked off. */
    async answersTo(sent: readonly Sent[]): Promise<Outcome[]> {
      const answers = Promise.all(sent.map(submit));
      let isDone = false;
      void answers.then(() => {
        isDone = true;
      });
      while (!isDone) {
        const job = source();
        if (job !== null && killsNext) job.reject(new AgentError('WORKER_DIED', 'died'));
        else job?.resolve(run(job.task as ObserveTask));
        if (job !== null) killsNext = false;
        await setImmediate();
      }
      return answers;
    },
  };
}

/** Inflated it has some hundred bytes a span. */
const request = (n: number, spans: number) =>
  gzipped(
    traces(...Array.from({ length: spans }, (_, i) => span(n * 10_000 + i, { name: `request-${n}-`.padEnd(60, 'x') }))),
  );

/** How often each request stands in the journal. */
async function readBack(journal: Journal, pool: BlockPool): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  for (let next = 0; ; ) {
    const batch = await journal.read(next, { stream: 'raw', signal: 'traces' }, 1 << 20, 0);
    if (batch === null) return found;
    assert.equal(batch.damaged, 0, 'a record is damaged');
    for (const at of batch.frames) {
      const from = at + FRAME_HEADER_BYTES;
      const text = pool.bytes.toString('latin1', from, from + payloadLength(pool, at));
      for (const name of new Set(text.match(/request-\d+-/g))) {
        const n = Number(name.slice(8, -1));
        found.set(n, (found.get(n) ?? 0) + 1);
      }
    }
    next = batch.next;
    batch.release();
  }
}

const accepted = (said: ReadonlyMap<number, Outcome>) =>
  [...said].filter(([, { kind }]) => kind === 'accepted').map(([n]) => n);

test('a write fails while regions of the same task wait for the next group: their memory is theirs, and what was acknowledged is there once', async () => {
  let isArmed = false;
  let writes = 0;
  const files = filesWith({
    async writev(fd, views, position) {
      if (isArmed && views.some(({ buffer }) => buffer === bench.pool.bytes.buffer)) {
        if (writes++ === 0) throw Object.assign(new Error('EIO'), { code: 'EIO' });
        await sleep(30);
      }
      return diskFiles.writev(fd, views, position);
    },
  });
  let journal: Journal | undefined;
  const bench = createBench(async (region) => journal?.append(region));
  // Segments that hold two of the four regions of a task: the others are the next group.
  const sizes = { segmentBytes: 2 << 20, maxBytes: 60 << 20, buffered: true };
  journal = await openJournal(temporaryDirectory(), bench.pool, { ...sizes, files });
  journal.follow(FOLLOWER, 0);
  isArmed = true;
  const said = new Map<number, Outcome>();
  for (const round of [
    [1, 2, 3, 4],
    [11, 12, 13, 14],
  ]) {
    const answers = await bench.answersTo(round.map((n) => request(n, 7000)));
    for (const [i, answer] of answers.entries()) said.set(round[i] as number, answer);
  }
  await bench.intake.drained();
  assert.ok(
    accepted(said).length >= 4 && accepted(said).length < 8,
    `${accepted(said)} accepted: nothing failed, or all`,
  );
  const expected = new Map(accepted(said).map((n) => [n, 1]));
  assert.deepEqual(await readBack(journal, bench.pool), expected);
  assert.equal(bench.measured(), accepted(said).length * 7000);
  assert.deepEqual(bench.mergeFaults, []);
  await journal.close();
  const again = await openJournal(journal.directory.replace(/\/[^/]+$/, ''), bench.pool, sizes);
  const found = await readBack(again, bench.pool);
  await again.close();
  assert.deepEqual(
    [...found.keys()].sort((a, b) => a - b),
    accepted(said),
  );
  assert.ok(
    [...found.values()].every((times) => times === 1),
    'acknowledged once, on the disk twice',
  );
});

test('a region that finds no room is refused alone: what the same task wrote is answered 200 and measured, what was refused is not there', async () => {
  let journal: Journal | undefined;
  const bench = createBench(async (region) => journal?.append(region));
  journal = await openJournal(temporaryDirectory(), bench.pool, { segmentBytes: 2 << 20, maxBytes: 4 << 20 });
  const said = new Map<number, Outcome>();
  const send = async (...round: [n: number, spans: number][]) => {
    const answers = await bench.answersTo(round.map(([n, spans]) => request(n, spans)));
    for (const [i, answer] of answers.entries()) said.set((round[i] as [number, number])[0], answer);
  };
  await send([1, 7000], [2, 7000], [3, 7000]);
  // There is no room for one more of that size, for smaller ones there is.
  await send([4, 7000], [5, 7000], [6, 4000], [7, 3000]);
  for (let n = 10; n < 16; n++) await send([n, 200]);
  await bench.intake.drained();
  const found = await readBack(journal, bench.pool);
  await journal.close();
  const sizes = [...said].filter(([, { kind }]) => kind === 'refused');
  assert.ok(sizes.length > 0 && found.size > 3, 'the journal was never full, or always');
  assert.deepEqual(
    [...found],
    accepted(said).map((n) => [n, 1]),
  );
  const items = [...said.values()].reduce((sum, one) => sum + (one.kind === 'accepted' ? one.items : 0), 0);
  assert.equal(bench.measured(), items);
  assert.equal(bench.pool.unitsInUse, 0);
});

test('what cannot be measured again, of a task of which a part was written, is told as a fault and answered all the same', async () => {
  let appends = 0;
  const bench = createBench(async () => {
    if (appends++ === 0) throw new AgentError('JOURNAL_FULL', 'full', { retryable: true });
  });
  bench.failAgain();
  const answers = await bench.answersTo([1, 2, 3, 4].map((n) => request(n, 7000)));
  assert.deepEqual([...new Set(answers.map(({ kind }) => kind))].sort(), ['accepted', 'refused']);
  assert.equal(bench.measured(), 0);
  assert.deepEqual(bench.mergeFaults, ['no memory']);
});

test('what redact takes out is in no byte of the journal, however the body came and whatever stands beside it', async () => {
  let journal: Journal | undefined;
  const bench = createBench(async (region) => journal?.append(region), Infinity, [
    { type: 'redact', attributes: [{ match: 'secret', action: 'mask' }] },
  ]);
  journal = await openJournal(temporaryDirectory(), bench.pool, { segmentBytes: 2 << 20, maxBytes: 8 << 20 });
  const attributes = [{ key: 'secret', value: { stringValue: 'hunter2' } }];
  const open = traces(span(1));
  const closed = traces(span(2, { attributes }));
  const json = { signal: 'traces', bytes: Buffer.from(toOtlpJson('traces', closed)), encoding: Encoding.json } as const;
  // Cut after they were edited, and refused with what was edited before.
  const partly = traces(span(3, { attributes }), { name: 'no ids', attributes });
  const broken = Buffer.concat([closed, Buffer.from('0aff', 'hex')]);
  const sent = [
    plainly(open),
    plainly(closed),
    json,
    gzipped(closed),
    plainly(partly),
    gzipped(partly),
    plainly(broken),
  ];
  const answers = await bench.answersTo([...sent, gzipped(broken), plainly(open)]);
  assert.equal(answers.filter(({ kind }) => kind === 'accepted').length, 7);
  await bench.intake.drained();
  await journal.close();
  const segment = readFileSync(segmentPath(journal.directory.replace(/\/[^/]+$/, ''), 1));
  assert.ok(segment.includes('span 1') && segment.includes('****'), 'this is not where the frames are');
  assert.ok(!segment.includes('hunter2'));
  assert.ok(!segment.includes(gzipSync(closed).subarray(10, 40)), 'the body as it came is there');
});

test('no region is larger than a segment takes, so that nothing is refused for its company', async () => {
  const most = 300 << 10;
  const sizes: number[] = [];
  const bench = createBench(async ({ first, end }) => void sizes.push(end - first), most);
  const body = (n: number) => plainly(traces(...Array.from({ length: 500 }, (_, i) => span(n * 1000 + i))));
  const answers = await bench.answersTo(Array.from({ length: 40 }, (_, n) => body(n)));
  for (const { kind } of answers) assert.equal(kind, 'accepted');
  assert.ok(sizes.length > 2 && Math.max(...sizes) <= most, `regions of ${sizes}`);
});

test('requests that run again one by one take the memory they need', async () => {
  const bench = createBench(async () => {});
  bench.killNext();
  const answers = await bench.answersTo(Array.from({ length: 150 }, (_, n) => plainly(traces(span(n)))));
  for (const { kind } of answers) assert.equal(kind, 'accepted');
});
