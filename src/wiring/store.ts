/** Opens what lies on disk: the journal's directory with its lock and identity, both journals, the cursors. */
import { statfs } from 'node:fs/promises';
import { UNIT_BYTES } from '../core/block.ts';
import { bytesOf, millisecondsOf } from '../core/units.ts';
import { CursorTable } from '../journal/cursors.ts';
import { type JournalDirectory, openDirectory } from '../journal/directory.ts';
import { diskFiles } from '../journal/files.ts';
import type { KnownEnd } from '../journal/header.ts';
import { Journal } from '../journal/journal.ts';
import { mebibytes } from '../journal/making.ts';
import { Reserve } from '../journal/reserve.ts';
import { SLOT_MS } from '../processors/sample/slots.ts';
import { areCursorsLost } from './fresh.ts';
import { type Ground, sampleOf } from './ground.ts';
import { Memory } from './memory.ts';

/** One that is written and one that is read. */
const LEAST_SEGMENTS = 2;
/** Room for cursors and checkpoints on a full disk. */
const RESERVE_BYTES = 8 << 20;
/** What a start writes before anything can be freed, with room to spare: a probe and a number for each journal. */
const START_BYTES = 1 << 20;
/** Of the blocks, at most: what was committed and sinks have still to read, which takes them some 10 ms, and where the disk stalls 50 to 100. */
const CACHE_SHARE = { intake: 1 / 8, derived: 1 / 32 };

/** Gives up what may be given up; wired once there is somebody to decide it. */
type MakeRoom = (journal: Journal) => Promise<boolean>;

export interface Store {
  root: JournalDirectory;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  /** `{agent.id}-{journal id}` */
  agent: string;
  memory: Memory;
  /** Asked when a journal has no room; answers false until agent.ts has somebody who can decide. */
  room: { make: MakeRoom };
}

export async function openStore(ground: Ground): Promise<Store> {
  const { config, log, telemetry, pool, now } = ground;
  const path = config.journal.directory;
  const root = await openDirectory({
    path,
    agent: config.agent.id,
    onWait: (ms) =>
      log.warn(
        `${path} is used by another agent: waiting up to ${ms / 1000} s for it to end, or set journal.directory`,
      ),
  });
  ground.undo.push(() => root.close());
  const agent = `${root.identity.agent}-${root.identity.journal}`;
  // A pod that keeps its disk, or an image that was made of a running node, whose copies would pass for one agent.
  if (root.identity.agent !== config.agent.id)
    log.info(
      `${path} was made by ${root.identity.agent}: what ${config.agent.id} sends is still marked ${agent}; if it is a copy of another node's, remove it`,
    );
  const table = await CursorTable.open(path);
  const ends = table.value('ends') as Partial<Record<string, KnownEnd>> | undefined;
  const room: Store['room'] = { make: async () => false };
  const reserve = await Reserve.open(diskFiles, path, RESERVE_BYTES);
  // A full disk does not stop a start, or what is queued on it could never be sent.
  if ((await diskFiles.free(path)) < START_BYTES) await reserve.giveUp();
  const segmentBytes = bytesOf(config.journal.segment_size);
  const maxBytes = bytesOf(config.journal.max_size);
  const open = async (name: 'intake' | 'derived') => {
    let opened: Journal | null = null;
    const journal = await Journal.open({
      directory: path,
      name,
      pool,
      segmentBytes,
      cacheBytes: pool.units * UNIT_BYTES * CACHE_SHARE[name],
      // A quarter, but never less than a journal needs to turn over.
      maxBytes: name === 'intake' ? maxBytes : Math.max(maxBytes / 4, LEAST_SEGMENTS * segmentBytes),
      durability: config.journal.durability,
      log,
      known: ends?.[name],
      // A full journal asks while it opens, too.
      makeRoom: async () => opened !== null && room.make(opened),
      onSync: (seconds) => telemetry.journalSyncSeconds.observe({ journal: name }, seconds),
    });
    opened = journal;
    ground.undo.push(() => journal.close());
    return journal;
  };
  const intake = await open('intake');
  const derived = await open('derived');
  if (areCursorsLost(table, [intake, derived]))
    log.error(
      `the cursors in ${path} are ${table.found === 'none' ? 'gone' : 'damaged'}: sinks begin at the oldest data that is kept, and get some of it again`,
    );
  await warnOfVolume(ground, intake.maxBytes + derived.maxBytes);
  const sample = sampleOf(config);
  const waitMs = sample === undefined ? 0 : millisecondsOf(sample.wait) + (sample.budget === 'none' ? 0 : SLOT_MS);
  const memory = new Memory({
    directory: path,
    agent,
    reserve,
    pool,
    table,
    intake,
    derived,
    segmentBytes,
    telemetry,
    log,
    lookBackMs: millisecondsOf(config.journal.look_back),
    waitMs,
    now,
  });
  return { root, table, intake, derived, agent, memory, room };
}

/** Of its size, not of what is free now: that changes, and `/health/ready` says when there is none. */
async function warnOfVolume({ config, log }: Ground, wantedBytes: number): Promise<void> {
  const { directory, max_size } = config.journal;
  const { blocks, bsize } = await statfs(directory);
  // Some file systems say nothing.
  if (blocks === 0 || wantedBytes <= blocks * bsize) return;
  const sizes = `up to ${mebibytes(wantedBytes)} with derived/, and the volume of ${directory} has ${mebibytes(blocks * bsize)}`;
  log.warn(`journal.max_size ${max_size} is ${sizes}: lower it, or that disk is full before the journal says so`);
}
