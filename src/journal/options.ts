/** What a journal is opened with, and whether its sizes fit. */
import type { Logger } from 'pino';
import { type BlockPool, PAGE_BYTES } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import type { Files } from './files.ts';
import { alignUp } from './format.ts';
import type { KnownEnd } from './header.ts';

export interface JournalOptions {
  /** The journal root; this one lives in the folder `name` in it. */
  directory: string;
  name: 'intake' | 'derived';
  pool: BlockPool;
  /** Size of one segment file; rounded up to 4 KiB. */
  segmentBytes: number;
  /** Quota of all segment files together, spares included; at least two segments. */
  maxBytes: number;
  /** `durable`: an append resolves when its group is synced. `written`: when it is written; synced 100 ms later at most. */
  durability: 'durable' | 'written';
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Pool memory that committed and read frames may keep; default 16 MiB. */
  cacheBytes?: number;
  /** Write and read without O_DIRECT even where it would work. */
  buffered?: boolean;
  files?: Files;
  /** What `end` was when it was last saved; without it, damage at the very end cannot be told from a torn tail. */
  known?: KnownEnd | undefined;
  /** A group was committed. */
  onSync?(seconds: number, regions: number, bytes: number): void;
  /** A piece of a segment is no record: it was skipped, and copied to `quarantine/`. Once per piece. */
  onDamage?(bytes: number): void;
  onFailure?(error: AgentError): void;
  /** There is no room for another segment: true when something was given up, durably, and may be recycled. */
  makeRoom?(): Promise<boolean>;
}

/** The options with whole pages; throws CONFIG_INVALID when the sizes do not fit. */
export function checkSizes(options: JournalOptions): JournalOptions {
  const sized = { ...options, segmentBytes: alignUp(options.segmentBytes) };
  if (sized.maxBytes >= 2 * sized.segmentBytes && sized.segmentBytes >= 4 * PAGE_BYTES) return sized;
  const message = `journal.max_size ${sized.maxBytes} is less than two segments of ${sized.segmentBytes}: raise it`;
  throw new AgentError('CONFIG_INVALID', message);
}
