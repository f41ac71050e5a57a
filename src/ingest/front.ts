/**
 * The fast front of the OTLP port: connections are read here as long as their requests are written as exporters write them (head.ts), and
 * are node:http's, with every byte that was read, from the first one that is not. docs/adr/0012-front.md says what it rests on.
 */
import type { Server } from 'node:http';
import { Socket } from 'node:net';
import type { Lend } from '../core/lentBlock.ts';
import { BodyMemory } from './bodies.ts';
import { Connection, type OnRead } from './connection.ts';
import type { Handle, HandleOptions, HandleState } from './handle.ts';
import { createReadHead } from './head.ts';
import { createWriteReply } from './replies.ts';
import type { Shared } from './shared.ts';

interface FrontOptions extends HandleOptions {
  /** A block for a large body, or null. */
  lend?: Lend | undefined;
  timeouts: Shared['timeouts'] & { checkMs: number };
  /** Told once when this Node has not the insides that are needed: the port is node:http's alone then. */
  onUnfit(): void;
}

export interface Front {
  /** Connections that are read here. */
  readonly size: number;
  /** Closes those that nothing is under way on; the others close after their answer when `state` says so, or when they are too slow. */
  close(): void;
  /** Ends those that are left. */
  destroy(): void;
}

/** One read of a connection between requests, and so all of a small one. */
const READ_BYTES = 32 << 10;

/** What a socket is made of, as far as it is needed here; documented nowhere. */
interface Inside {
  _handle: { useUserBuffer?: unknown } | null;
  _server: Server | null;
}

/** Takes all connections of the server, which need not listen yet. */
export function startFront(server: Server, handle: Handle, options: FrontOptions, state: HandleState): Front {
  const { timeouts, onUnfit } = options;
  const serve = server.listeners('connection');
  const connections: Shared['connections'] = new Set();
  let isFit = true;
  const shared: Shared = {
    options,
    state,
    timeouts,
    handle,
    readHead: createReadHead(options.paths),
    reply: createWriteReply(timeouts.keepAliveMs, options.cors.allowedOrigins.length > 0, options.now),
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    bodies: new BodyMemory(options.lend),
    connections,
    handOver(socket) {
      for (const listener of serve) listener.call(server, socket);
    },
    onUnfit() {
      if (isFit) onUnfit();
      isFit = false;
    },
  };
  server.removeAllListeners('connection');
  server.on('connection', (given: Socket) => {
    if (!hasInside(given, server)) shared.onUnfit();
    if (isFit) new Connection(shared, (buffer, callback) => readInto(given, server, { buffer, callback }));
    else shared.handOver(given);
  });
  const checking = setInterval(() => {
    const nowMs = performance.now();
    for (const connection of connections) connection.check(nowMs);
  }, timeouts.checkMs).unref();
  return {
    get size() {
      return connections.size;
    },
    close() {
      for (const connection of connections) connection.closeIdle();
    },
    destroy() {
      clearInterval(checking);
      for (const connection of connections) connection.destroy();
    },
  };
}

function hasInside(socket: Socket, server: Server): boolean {
  const { _handle, _server } = socket as unknown as Inside;
  return typeof _handle?.useUserBuffer === 'function' && _server === server;
}

/** The same connection as another socket, whose bytes go where `onread` says. */
function readInto(given: Socket, server: Server, onread: { buffer(): Uint8Array; callback: OnRead }): Socket {
  const from = given as unknown as Inside;
  // The constructor takes both; `handle` is not documented.
  const socket = new Socket({ handle: from._handle, onread, allowHalfOpen: true } as object);
  // When it closes, the server counts one connection less by this member.
  (socket as unknown as Inside)._server = server;
  from._handle = null;
  return socket;
}
