/** Opens what lies on disk: the journal's directory with its lock and identity, both journals, the cursors. */
import { CursorTable } from '../journal/cursors.ts';
import { type JournalDirectory, openDirectory } from '../journal/directory.ts';
import { Journal } from '../journal/journal.ts';
import { waitMsOf } from '../processors/sample/index.ts';
import { bytesOf, type Ground, millisecondsOf, sampleOf } from './ground.ts';
import { Memory } from './memory.ts';

/** One that is written and one that is read. */
const LEAST_SEGMENTS = 2;

export interface Store {
  root: JournalDirectory;
  table: CursorTable;
  intake: Journal;
  derived: Journal;
  /** `{agent.id}-{journal id}` */
  agent: string;
  memory: Memory;
}

export async function openStore(ground: Ground): Promise<Store> {
  const { config, log, telemetry, pool, now } = ground;
  const path = config.journal.directory;
  const root = await openDirectory({ path, agent: config.agent.id });
  ground.undo.push(() => root.close());
  const table = await CursorTable.open(path);
  if (table.found === 'damaged')
    log.error(`the cursors in ${path} are damaged: sinks begin at the head of what is kept`);
  const segmentBytes = bytesOf(config.journal.segment_size);
  const maxBytes = bytesOf(config.journal.max_size);
  const open = async (name: 'intake' | 'derived') => {
    const journal = await Journal.open({
      directory: path,
      name,
      pool,
      segmentBytes,
      // A quarter, but never less than a journal needs to turn over.
      maxBytes: name === 'intake' ? maxBytes : Math.max(maxBytes / 4, LEAST_SEGMENTS * segmentBytes),
      durability: config.journal.durability,
      log,
      onSync: (seconds) => telemetry.journalSyncSeconds.observe({ journal: name }, seconds),
    });
    ground.undo.push(() => journal.close());
    return journal;
  };
  const intake = await open('intake');
  const derived = await open('derived');
  const sample = sampleOf(config);
  const waitMs = sample === undefined ? 0 : waitMsOf(sample);
  const memory = new Memory({
    directory: path,
    pool,
    table,
    intake,
    derived,
    log,
    maxBytes,
    lookBackMs: millisecondsOf(config.journal.look_back),
    waitMs,
    now,
  });
  return { root, table, intake, derived, agent: `${root.identity.agent}-${root.identity.journal}`, memory };
}
