/**
 * A disk in memory that forgets what was not synced: a power loss keeps what is durable and any subset of the other sectors, and of each
 * directory's changes a prefix; a kill keeps what the kernel was given. One operation can be cut in the middle, or fail.
 */
import path from 'node:path';
import { type Files, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_EXCL, O_TRUNC } from '../../src/journal/files.ts';

const SECTOR = 512;

interface Inode {
  /** What the kernel shows, and what the platter holds. */
  seen: Buffer;
  durable: Buffer;
  /** Sectors that differ because nobody synced them. */
  dirty: Set<number>;
}

/** What names stand for after it; null removes one. A rename is one change: no crash comes between its halves. */
type Change = [name: string, inode: Inode | null][];

interface Handle {
  inode: Inode | null;
  directory: string;
  isDirect: boolean;
  isSynchronous: boolean;
}

export interface DiskFault {
  operation: 'writev' | 'fdatasync' | 'fsync';
  errno: 'EIO' | 'ENOSPC';
}

export class MemoryDisk {
  /** Operations that changed or could change something. */
  operations = 0;
  /** Set to crash in the middle of the operation with this number; it and all later ones never end. */
  crashAt = Infinity;
  /** What the n-th operation of a kind from now on answers. */
  faults: (DiskFault & { after: number })[] = [];
  faultsSeen = 0;
  refusesDirect = false;
  freeBytes = 2 ** 40;
  isCrashed = false;
  readonly #random: () => number;
  readonly #entries = new Map<string, Inode>();
  readonly #durableEntries = new Map<string, Inode>();
  /** By directory: changes that no fsync of it has made durable. */
  readonly #pending = new Map<string, Change[]>();
  readonly #handles = new Map<number, Handle>();
  #nextFd = 10;
  #crashed = Promise.withResolvers<void>();

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Resolves when the crash has happened. */
  get crashed(): Promise<void> {
    return this.#crashed.promise;
  }

  /** Goes on after a crash, or ends the life of whoever uses it now: `power` forgets, `kill` does not. */
  restart(kind: 'power' | 'kill'): void {
    if (kind === 'power') this.#forget();
    this.#handles.clear();
    this.isCrashed = false;
    this.crashAt = Infinity;
    this.faults = [];
    this.#crashed = Promise.withResolvers();
  }

  #forget(): void {
    for (const [directory, changes] of this.#pending) {
      const kept = changes.slice(0, Math.floor(this.#random() * (changes.length + 1)));
      for (const change of kept) this.#apply(this.#durableEntries, change);
      this.#pending.set(directory, []);
    }
    this.#entries.clear();
    for (const [name, inode] of this.#durableEntries) {
      const share = this.#random();
      for (const sector of inode.dirty) if (this.#random() < share) this.#makeDurable(inode, sector);
      inode.dirty.clear();
      inode.seen = Buffer.from(inode.durable);
      this.#entries.set(name, inode);
    }
  }

  /** Files of whoever lives now; those of a dead one never answer again. */
  files(): Files {
    const life = this.#crashed;
    const never = new Promise<never>(() => undefined);
    /** Runs the whole operation, or part of it and then nothing for ever. */
    const operate = async <T>(whole: () => T, part: () => void = () => {}): Promise<T> => {
      await null;
      if (this.isCrashed || this.#crashed !== life) return never;
      if (++this.operations >= this.crashAt) {
        this.isCrashed = true;
        part();
        life.resolve();
        return never;
      }
      return whole();
    };
    const look = async <T>(whole: () => T): Promise<T> => {
      await null;
      return this.isCrashed || this.#crashed !== life ? never : whole();
    };
    return {
      open: (file, flags) => operate(() => this.#open(file, flags)),
      close: (fd) => look(() => void this.#handles.delete(fd)),
      read: (fd, view, position) =>
        look(() => {
          const { seen } = this.#inode(fd);
          const bytes = Math.max(0, Math.min(view.length, seen.length - position));
          view.set(seen.subarray(position, position + bytes));
          return bytes;
        }),
      writev: (fd, views, position) => {
        const handle = this.#handles.get(fd) as Handle;
        const sectors = () => this.#write(handle, views, position, () => true);
        const share = this.#random();
        const some = () => this.#write(handle, views, position, () => this.#random() < share);
        return operate(() => {
          this.#fail('writev', some);
          return sectors();
        }, some);
      },
      fdatasync: (fd) => operate(() => this.#sync(fd, 'fdatasync')),
      fsync: (fd) => operate(() => this.#sync(fd, 'fsync')),
      rename: (from, to) =>
        operate(() => {
          const inode = this.#entry(from);
          this.#change([to, inode], [from, null]);
        }),
      unlink: (file) =>
        operate(() => {
          this.#entry(file);
          this.#change([file, null]);
        }),
      list: (directory) =>
        look(() =>
          [...this.#entries.keys()]
            .filter((name) => path.dirname(name) === directory)
            .map((name) => path.basename(name)),
        ),
      size: (file) => look(() => this.#entry(file).seen.length),
      makeDirectory: () => look(() => undefined),
      free: () => look(() => this.freeBytes),
    };
  }

  #open(file: string, flags: number): number {
    const isDirectory = (flags & O_DIRECTORY) !== 0;
    if (this.refusesDirect && (flags & O_DIRECT) !== 0) throw errno('EINVAL');
    let inode: Inode | null = null;
    if (!isDirectory) {
      const found = this.#entries.get(file);
      if (found === undefined && (flags & O_CREAT) === 0) throw errno('ENOENT');
      if (found !== undefined && (flags & O_EXCL) !== 0) throw errno('EEXIST');
      if (found === undefined) {
        inode = { seen: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() };
        this.#change([file, inode]);
      } else inode = found;
      // A truncation is durable with the data that follows it.
      if ((flags & O_TRUNC) !== 0) inode.seen = Buffer.alloc(0);
    }
    const fd = this.#nextFd++;
    const isDirect = (flags & O_DIRECT) !== 0;
    this.#handles.set(fd, { inode, directory: file, isDirect, isSynchronous: (flags & O_DSYNC) !== 0 });
    return fd;
  }

  /** Writes the sectors that `reaches` lets through; returns the bytes. */
  #write(handle: Handle, views: Uint8Array[], position: number, reaches: () => boolean): number {
    const inode = handle.inode as Inode;
    const bytes = Buffer.concat(views);
    if (handle.isDirect && (position % 4096 !== 0 || bytes.length % 4096 !== 0)) throw errno('EINVAL');
    const end = position + bytes.length;
    if (end > inode.seen.length) inode.seen = grown(inode.seen, end);
    for (let at = position; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / SECTOR) + 1) * SECTOR);
      if (reaches()) {
        bytes.copy(inode.seen, at, at - position, stop - position);
        const sector = Math.floor(at / SECTOR);
        inode.dirty.add(sector);
        if (handle.isSynchronous) this.#makeDurable(inode, sector);
      }
      at = stop;
    }
    return bytes.length;
  }

  #makeDurable(inode: Inode, sector: number): void {
    const from = sector * SECTOR;
    const to = Math.min(inode.seen.length, from + SECTOR);
    if (to > inode.durable.length) inode.durable = grown(inode.durable, inode.seen.length);
    inode.seen.copy(inode.durable, from, from, to);
    inode.dirty.delete(sector);
  }

  #sync(fd: number, operation: 'fsync' | 'fdatasync'): void {
    const handle = this.#handles.get(fd) as Handle;
    const { inode } = handle;
    // As Linux does: what could not be written is dropped, and the next sync says nothing of it.
    this.#fail(operation, () => inode?.dirty.clear());
    if (inode !== null) {
      for (const sector of [...inode.dirty]) this.#makeDurable(inode, sector);
      if (inode.durable.length > inode.seen.length) inode.durable = inode.durable.subarray(0, inode.seen.length);
      return;
    }
    for (const change of this.#pending.get(handle.directory) ?? []) this.#apply(this.#durableEntries, change);
    this.#pending.set(handle.directory, []);
  }

  #fail(operation: DiskFault['operation'], partly: () => void): void {
    const fault = this.faults.find((one) => one.operation === operation);
    if (fault === undefined || fault.after-- > 0) return;
    this.faults.splice(this.faults.indexOf(fault), 1);
    this.faultsSeen++;
    partly();
    throw errno(fault.errno);
  }

  /** All in one directory. */
  #change(...change: Change): void {
    this.#apply(this.#entries, change);
    const directory = path.dirname((change[0] as Change[number])[0]);
    this.#pending.set(directory, [...(this.#pending.get(directory) ?? []), change]);
  }

  #apply(entries: Map<string, Inode>, change: Change): void {
    for (const [name, inode] of change) {
      if (inode === null) entries.delete(name);
      else entries.set(name, inode);
    }
  }

  #entry(file: string): Inode {
    const inode = this.#entries.get(file);
    if (inode === undefined) throw errno('ENOENT');
    return inode;
  }

  #inode(fd: number): Inode {
    return (this.#handles.get(fd) as Handle).inode as Inode;
  }
}

/** The same with zeros behind it. */
function grown(bytes: Buffer, length: number): Buffer {
  const all = Buffer.alloc(length);
  bytes.copy(all);
  return all;
}

function errno(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: as planned`), { code });
}
