/** The journal on a disk that forgets: random schedules of appends, reads, saves, faults and crashes, and what must hold after each start. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { AgentError } from '../../src/core/errors.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import type { KnownEnd } from '../../src/journal/header.ts';
import type { Hold } from '../../src/journal/holds.ts';
import type { Journal } from '../../src/journal/journal.ts';
import { passedOf } from '../../src/sinks/progress.ts';
import { append, BlockPool, openJournal, readRow, seeded } from '../journal/frames.ts';
import { freshCursor } from '../sinks/harness.ts';
import { MemoryDisk } from './disk.ts';

const SCHEDULES = Number(process.env.PLUMBLINE_SCHEDULES ?? 2000);
const SEED = Number(process.env.PLUMBLINE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROOT = '/journal';

type Step =
  | { do: 'append'; regions: number[][] }
  | { do: 'read' }
  | { do: 'save'; share: number }
  | { do: 'restart' }
  | { do: 'fault'; operation: 'writev' | 'fdatasync' | 'fsync'; errno: 'EIO' | 'ENOSPC'; after: number }
  | { do: 'room'; isThere: boolean }
  | { do: 'crash'; kind: 'power' | 'kill'; after: number; regions: number[][] };

const regions = fc.array(fc.array(fc.integer({ min: 4, max: 9000 }), { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 4,
});
const steps: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constant('append' as const), regions }),
  fc.record({ do: fc.constant('append' as const), regions }),
  fc.record({ do: fc.constant('read' as const) }),
  fc.record({ do: fc.constant('save' as const), share: fc.constantFrom(0, 0.3, 0.7, 1) }),
  fc.record({ do: fc.constant('restart' as const) }),
  fc.record({
    do: fc.constant('fault' as const),
    operation: fc.constantFrom('writev' as const, 'fdatasync' as const, 'fsync' as const),
    errno: fc.constantFrom('EIO' as const, 'ENOSPC' as const),
    after: fc.integer({ min: 0, max: 6 }),
  }),
  fc.record({ do: fc.constant('room' as const), isThere: fc.boolean() }),
  fc.record({
    do: fc.constant('crash' as const),
    kind: fc.constantFrom('power' as const, 'kill' as const),
    after: fc.integer({ min: 1, max: 40 }),
    regions,
  }),
  fc.record({
    do: fc.constant('crash' as const),
    kind: fc.constantFrom('power' as const, 'kill' as const),
    after: fc.integer({ min: 1, max: 40 }),
    regions,
  }),
];
const schedules = fc.record({
  mode: fc.constantFrom('direct' as const, 'buffered' as const, 'written' as const),
  seed: fc.nat(),
  steps: fc.array(fc.oneof(...steps), { minLength: 3, maxLength: 14 }),
});
type Schedule = typeof schedules extends fc.Arbitrary<infer S> ? S : never;

/** Every journal has page-aligned memory, of which a process can reserve some ten thousand: more schedules take more processes. */
const MOST_PER_PROCESS = 3000;

const counts = { crashes: 0, inRecovery: 0, faults: 0, refused: 0, acknowledged: 0, recycled: 0 };
const pool = BlockPool.create(16 << 20);

/** One journal over all its lives, and what is known of it from outside. */
class World {
  readonly disk: MemoryDisk;
  readonly acknowledged = new Set<number>();
  /** Sequence under which an id was seen first: it never changes. */
  readonly sequences = new Map<number, number>();
  readonly gone = new Set<number>();
  /** Answered no: what of them can still be read may be delivered. */
  readonly refused = new Set<number>();
  journal: Journal | undefined;
  table: CursorTable | undefined;
  hold: Hold | undefined;
  /** What the last save that answered had written. */
  saved = 0;
  id = 0;
  first = 1;
  /** After a failed sync, or `written` after a power loss, acknowledged data may be gone, as the operator chose. */
  mayLose = false;
  readonly #mode: Schedule['mode'];

  constructor({ mode, seed }: Schedule) {
    this.#mode = mode;
    this.disk = new MemoryDisk(seeded(seed));
    this.disk.refusesDirect = mode === 'buffered';
  }

  /** Starts; false when the disk crashed meanwhile. */
  async open(): Promise<boolean> {
    const files = this.disk.files();
    const opening = (async () => {
      const table = await CursorTable.open(ROOT, files);
      const known = table.value('ends') as KnownEnd | undefined;
      const options = { files, segmentBytes: 64 << 10, maxBytes: 6 * (64 << 10), cacheBytes: 0, known };
      const durability = this.#mode === 'written' ? ('written' as const) : ('durable' as const);
      const journal = await openJournal(ROOT, pool, { ...options, durability });
      return { table, journal };
    })();
    const opened = await Promise.race([opening, this.disk.crashed.then(() => null)]);
    if (opened === null) return false;
    this.journal = opened.journal;
    this.table = opened.table;
    const row = this.row();
    this.hold = opened.journal.hold('sink', row.next);
    return true;
  }

  row() {
    const { journal, table } = this;
    assert.ok(journal !== undefined && table !== undefined);
    // As wiring/fresh.ts begins a row: what the journal lacks before its oldest record was not offered to it.
    const offeredFrom = journal.spans()[0]?.total('raw', 'traces') ?? journal.total('raw', 'traces');
    return table.row('sink', { ...freshCursor(), next: journal.first, offeredFrom });
  }

  /** Appends and notes what was acknowledged; ends when all have answered or the disk crashed. */
  async append(list: number[][]): Promise<void> {
    const { journal } = this;
    assert.ok(journal !== undefined);
    const answers = list.map(async (sizes) => {
      const items = sizes.map((bytes) => ({ id: ++this.id, bytes }));
      try {
        await append(journal, pool, items);
        for (const { id } of items) this.acknowledged.add(id);
        counts.acknowledged += items.length;
      } catch (error) {
        assert.ok(error instanceof AgentError && error.retryable, `refused with ${error}`);
        counts.refused++;
        for (const { id } of items) this.refused.add(id);
      }
    });
    await Promise.all(answers);
  }

  /** Everything that is owed from the cursor on is there, as it was, once, in order; nothing comes back; totals agree. */
  async check(): Promise<void> {
    const { journal } = this;
    assert.ok(journal !== undefined);
    if (journal.first > this.first) counts.recycled++;
    this.first = journal.first;
    const row = this.row();
    assert.ok(
      row.next >= this.saved,
      `a saved cursor went back from ${this.saved} to ${row.next}, table ${this.table?.found}`,
    );
    const back = await readRow(journal, pool, row.next, 64 << 10, 'raw', 'traces', passedOf(row));
    // Only what was answered no, and could be read for a while, may be found missing later.
    if (!this.mayLose) assert.ok(back.damaged <= this.refused.size, `${back.damaged} items were damaged`);
    const seen = new Set(back.ids);
    assert.equal(seen.size, back.ids.length, 'a record was read twice');
    for (const [i, id] of back.ids.entries()) {
      const sequence = back.sequences[i] as number;
      assert.ok(id <= this.id && (this.mayLose || !this.gone.has(id)), `${id} was gone and came back`);
      assert.equal(this.sequences.get(id) ?? sequence, sequence, `${id} has another sequence than before`);
      this.sequences.set(id, sequence);
      assert.ok(i === 0 || sequence > (back.sequences[i - 1] as number), 'sequences ascend');
    }
    for (let id = 1; id <= this.id; id++) {
      const isBefore = (this.sequences.get(id) ?? Infinity) < row.next;
      if (seen.has(id) || isBefore) continue;
      assert.ok(!this.acknowledged.has(id) || this.mayLose, `${id} was acknowledged and is missing`);
      this.acknowledged.delete(id);
      if (!this.refused.has(id)) this.gone.add(id);
    }
    const counted = passedOf(row) + back.ids.length + back.damaged;
    // Without room for another segment what was lost at the end is still queued: answered no, or as the operator chose.
    const mayQueue = this.mayLose ? Infinity : this.disk.freeBytes === 0 ? this.refused.size : 0;
    const queued = journal.total('raw', 'traces') - counted;
    assert.ok(
      queued >= 0 && queued <= mayQueue,
      `the totals agree: ${queued} are neither seen nor counted, of ${mayQueue} that may be: ${this.id} sent, ${this.acknowledged.size} acknowledged, ${this.refused.size} refused`,
    );
  }

  /** Moves the cursor over a share of what is there, durably, and lets go of what lies below. */
  async save(share: number): Promise<void> {
    const { journal, table } = this;
    assert.ok(journal !== undefined && table !== undefined);
    const row = this.row();
    const back = await readRow(journal, pool, row.next, 64 << 10, 'raw', 'traces', passedOf(row));
    // Where damage lies between is not known here: it is passed with all that was read.
    const taken = back.damaged > 0 ? back.ids.length : Math.floor(back.ids.length * share);
    if (taken > 0) {
      row.next = back.damaged > 0 ? back.next : (back.sequences[taken - 1] as number) + 1;
      row.delivered += taken;
    }
    row.damaged += back.damaged;
    for (const [i, id] of back.ids.entries()) this.sequences.set(id, back.sequences[i] as number);
    table.setValue('ends', journal.end);
    const { next } = row;
    try {
      await table.save();
      this.saved = next;
      this.hold?.advance(next);
    } catch (error) {
      assert.ok(error instanceof AgentError && error.retryable, `not saved: ${error}`);
    }
  }
}

async function run(schedule: Schedule): Promise<void> {
  pool.reclaim(1);
  const world = new World(schedule);
  assert.ok(await world.open());
  for (const step of schedule.steps) {
    await take(world, step, schedule);
    if (world.disk.isCrashed) await restart(world, schedule, step.do === 'crash' ? step.kind : 'power');
  }
  counts.faults += world.disk.faultsSeen;
}

async function take(world: World, step: Step, schedule: Schedule): Promise<void> {
  const { disk } = world;
  switch (step.do) {
    case 'append':
      return world.append(step.regions);
    case 'read':
      return world.check();
    case 'save':
      return world.save(step.share);
    case 'fault':
      disk.faults.push({ operation: step.operation, errno: step.errno, after: step.after });
      // Whoever was answered before the lazy sync failed has chosen so.
      if (schedule.mode === 'written') world.mayLose = true;
      return;
    case 'room':
      disk.freeBytes = step.isThere ? 2 ** 40 : 0;
      return;
    case 'restart':
      disk.faults = [];
      await world.journal?.close();
      return restart(world, schedule, 'kill');
    case 'crash':
      disk.crashAt = disk.operations + step.after;
      await Promise.race([work(world, step.regions), disk.crashed]);
      // If it has not come by now it comes between two operations.
      disk.isCrashed = true;
  }
}

async function work(world: World, list: number[][]): Promise<void> {
  await world.append(list);
  await world.save(0.5);
  await world.append(list);
}

/** Starts until a start succeeds: every second one is crashed in the middle. */
async function restart(world: World, schedule: Schedule, kind: 'power' | 'kill'): Promise<void> {
  if (kind === 'power' && schedule.mode === 'written') world.mayLose = true;
  counts.crashes++;
  const random = seeded(schedule.seed + counts.crashes);
  for (let attempt = 0; ; attempt++) {
    world.disk.restart(kind);
    // The old life's blocks: nothing of it runs any more.
    pool.reclaim(1);
    if (attempt < 3 && random() < 0.5) world.disk.crashAt = world.disk.operations + 1 + Math.floor(random() * 12);
    if (await world.open()) break;
    counts.inRecovery++;
  }
  world.disk.crashAt = Infinity;
  await world.check();
}

/** The same file in a process of its own. */
function runApart(schedules: number, seed: number): void {
  const env = {
    ...process.env,
    PLUMBLINE_SCHEDULES: String(schedules),
    PLUMBLINE_SEED: String(seed),
    NODE_TEST_CONTEXT: '',
  };
  const { status, stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], { env, encoding: 'utf8' });
  assert.equal(status, 0, stdout);
}

test(`${SCHEDULES} schedules of crashes and faults lose nothing acknowledged, invent nothing and bring nothing back`, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const own = Math.min(SCHEDULES, MOST_PER_PROCESS);
  await fc.assert(fc.asyncProperty(schedules, run), { numRuns: own, seed: SEED, endOnFailure: true });
  t.diagnostic(JSON.stringify(counts));
  for (const [name, count] of Object.entries(counts)) assert.ok(count > own / 100, `${name} really happened`);
  for (let done = own, part = 1; done < SCHEDULES; done += MOST_PER_PROCESS, part++)
    runApart(Math.min(MOST_PER_PROCESS, SCHEDULES - done), SEED + part);
});
