/**
 * Says that nothing can be taken, in the log and in /health/ready, also while nobody sends, or when nobody is refused: a full journal, or a
 * disk that hangs.
 */
import type { Journal } from '../journal/journal.ts';
import type { Ground } from './ground.ts';

const LOOK_EVERY_MS = 1000;
/** Counted in turns of main's own event loop, so that a process that was stopped for a while blames no disk. */
const TURNS_TO_HANG = 5;
const KEY = 'taking';

/** Returns what ends it. */
export function watchTaking(
  { trouble, log }: Pick<Ground, 'trouble' | 'log'>,
  journal: Pick<Journal, 'directory' | 'writing' | 'lack'>,
): () => void {
  let group = 0;
  let turns = 0;
  const hangs = () => {
    turns = journal.writing !== 0 && journal.writing === group ? turns + 1 : 0;
    group = journal.writing;
    return turns < TURNS_TO_HANG ? null : `${journal.directory}: the disk has not taken a write for 5 s: look at it`;
  };
  const look = () => {
    const why = hangs() ?? journal.lack();
    if (why === null) {
      if (trouble.delete(KEY)) log.info('requests are taken again');
      return;
    }
    if (!trouble.has(KEY)) log.warn(`requests are not taken: ${why}`);
    trouble.set(KEY, why);
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
  return () => clearInterval(timer);
}
