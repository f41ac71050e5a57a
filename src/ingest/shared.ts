/** What all connections of the fast front have in common. */
import type { Socket } from 'node:net';
import type { BodyMemory } from './bodies.ts';
import type { Handle, HandleOptions, HandleState } from './handle.ts';
import type { ReadHead } from './head.ts';
import type { WriteReply } from './replies.ts';

/** What a front does with each of its connections. */
interface Checked {
  check(nowMs: number): void;
  closeIdle(): void;
  destroy(): void;
}

export interface Shared {
  options: HandleOptions;
  state: HandleState;
  timeouts: { headersMs: number; requestMs: number; keepAliveMs: number };
  handle: Handle;
  readHead: ReadHead;
  reply: WriteReply;
  /** Every read goes here but those of a body's rest. Its content lasts until the next read of any connection. */
  buffer: Buffer;
  bodies: BodyMemory;
  connections: Set<Checked>;
  /** Gives the connection to node:http. */
  handOver(socket: Socket): void;
  /** This Node does not read into memory of ours. */
  onUnfit(): void;
}
