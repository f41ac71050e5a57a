/** The last line of a stop: what each sink has not taken yet, so that an operator knows whether the journal's directory may go. */
import { sinkLedger } from '../status/ledger.ts';
import type { SelectionProgress } from '../worker/progress.ts';
import type { Ground } from './ground.ts';
import type { Running } from './sinks.ts';
import type { Store } from './store.ts';

type Sinks = readonly Pick<Running, 'name' | 'rows'>[];

/** `selection`: what is not decided yet is queued for whoever takes the stream `sampled`. */
export function tellQueued({ log }: Ground, store: Store, selection: SelectionProgress | null, sinks: Sinks): void {
  const { intake, derived, memory } = store;
  const sources = {
    total: (...[stream, signal]: Parameters<typeof intake.total>) =>
      (stream === 'raw' ? intake : derived).total(stream, signal),
    rejected: memory.rejected,
    selection,
  };
  const queued: Record<string, number> = {};
  for (const { name, rows } of sinks) {
    const items = rows.reduce((sum, { row, cursor }) => sum + sinkLedger(sources, row, cursor).queued, 0);
    if (items > 0) queued[name] = items;
  }
  if (Object.keys(queued).length === 0) log.info('stopped: nothing is queued');
  else log.warn({ queued }, 'stopped: items that sinks have not taken wait in the journal for the next start');
}
