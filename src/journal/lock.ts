/** The lock of a directory: a Unix socket in it. Connecting succeeds: in use; refused: its owner is dead. Node has no flock. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { AgentError, messageOf } from '../core/errors.ts';
import { errnoOf } from './files.ts';

export interface Lock {
  release(): Promise<void>;
}

interface Bound {
  server: net.Server;
  waiting: Set<net.Socket>;
}

/** A Unix socket's address holds 107 bytes; the random suffix of a name that is being moved and `/lock` take 18 of them. */
const LONGEST_PATH = 88;

/**
 * Takes the lock of `directory`, waiting up to `waitMs` for its present owner to end (a rolling update), which `onWait` is told at once.
 * Throws JOURNAL_LOCKED, or JOURNAL_UNWRITABLE when no socket can be made there.
 */
export async function takeLock(directory: string, waitMs: number, onWait: () => void): Promise<Lock> {
  const folder = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const short = `/proc/self/fd/${folder}/lock`;
  const address = directory.length > LONGEST_PATH ? short : path.join(directory, 'lock');
  try {
    const bound = await bindBefore(address, directory, waitMs, onWait);
    return { release: () => unbind(bound, folder) };
  } catch (error) {
    fs.closeSync(folder);
    if (error instanceof AgentError) throw error;
    const message = `${directory}: no lock can be made: ${messageOf(error)}: use a local file system that this user may write to`;
    throw new AgentError('JOURNAL_UNWRITABLE', message, { cause: error });
  }
}

async function bindBefore(address: string, directory: string, waitMs: number, onWait: () => void): Promise<Bound> {
  const deadline = performance.now() + waitMs;
  let isTold = false;
  for (;;) {
    const bound = await bind(address);
    if (bound !== undefined) return bound;
    const owner = await connect(address);
    if (owner === undefined) {
      await removeStale(address);
      continue;
    }
    const left = deadline - performance.now();
    if (left > 0 && !isTold) onWait();
    isTold = true;
    if (left <= 0 || !(await ended(owner, left))) {
      owner.destroy();
      const message = `${directory} is used by another agent, waited ${waitMs} ms: stop that one or set journal.directory`;
      throw new AgentError('JOURNAL_LOCKED', message);
    }
  }
}

/** A server at the address, or undefined when a socket is there already. */
function bind(address: string): Promise<Bound | undefined> {
  return new Promise((resolve, reject) => {
    // Whoever waits for the lock stays connected: its connection's end is the news that the lock is free.
    const waiting = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => waiting.delete(socket));
      socket.resume();
      socket.unref();
    });
    server.on('error', (error) => (errnoOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen(address, () => {
      server.unref();
      resolve({ server, waiting });
    });
  });
}

/** A connection to the lock's owner, or undefined when nobody answers. */
function connect(address: string): Promise<net.Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(address);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      if (errno === 'ECONNREFUSED' || errno === 'ENOENT' || errno === 'ENOTSOCK') resolve(undefined);
      else reject(error);
    });
  });
}

/** Whether the owner ends within `ms`. */
function ended(owner: net.Socket, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    owner.on('error', () => owner.destroy());
    owner.on('close', () => {
      clearTimeout(timer);
      resolve(true);
    });
    owner.resume();
  });
}

/**
 * Removes a socket whose owner is dead. It is moved aside first and asked again there: between the refusal and now another agent may
 * have put its own in place, and that one has to go back.
 */
async function removeStale(address: string): Promise<void> {
  const aside = `${address}.${randomBytes(6).toString('hex')}`;
  try {
    fs.renameSync(address, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  const owner = await connect(aside);
  if (owner === undefined) fs.unlinkSync(aside);
  else {
    owner.destroy();
    fs.renameSync(aside, address);
  }
}

function unbind({ server, waiting }: Bound, folder: number): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      fs.closeSync(folder);
      resolve();
    });
    for (const socket of waiting) socket.destroy();
  });
}
