/** What the machine or its container gives us: `memory_limit: auto` and `workers: auto` in numbers. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { parseBytes } from './units.ts';

const MOST_MEMORY_BYTES = 512 * 2 ** 20;
const MOST_WORKERS = 4;
const OWN_CGROUPS = '/proc/self/cgroup';
/** By the controllers of a line of it: where v2, and v1, say what may be used. */
const LIMITS = [
  { controllers: '', root: '/sys/fs/cgroup', file: 'memory.max' },
  { controllers: 'memory', root: '/sys/fs/cgroup/memory', file: 'memory.limit_in_bytes' },
];

/** Bytes the agent may use: a size, or `auto`: 90 % of the cgroup's limit (of the machine's memory without one), at most 512 MiB. */
export function memoryLimitBytes(setting: string, read: (file: string) => string | undefined = readText): number {
  const fixed = parseBytes(setting);
  if (fixed !== undefined) return fixed;
  return capped(cgroupLimitBytes(read) ?? totalmem());
}

/**
 * What the container, or the service of systemd, may use before the kernel kills it: the least of its cgroup's limit and of those around it;
 * null when nobody limits it below the machine's memory.
 */
export function cgroupLimitBytes(read: (file: string) => string | undefined = readText): number | null {
  const own = (read(OWN_CGROUPS) ?? '').split('\n').map((line) => line.split(':'));
  let least = Infinity;
  for (const { controllers, root, file } of LIMITS) {
    const path = own.find(([, of]) => of === controllers)?.[2] ?? '/';
    // Inside a container its own limit lies at the root, whatever the path is; one that leads out of it is not mounted there.
    for (let at = path.includes('..') ? '' : path.replace(/\/+$/, ''); ; at = at.slice(0, at.lastIndexOf('/'))) {
      // v2 says "max" and v1 a number near 2^63 when there is no limit.
      const limit = Number(read(`${root}${at}/${file}`)?.trim() || Number.NaN);
      if (limit > 0) least = Math.min(least, limit);
      if (at === '') break;
    }
  }
  return least < totalmem() ? least : null;
}

/** Worker threads: a number, or `auto`: one less than the cores we may use, from 1 to 4. */
export function workerCount(setting: 'auto' | number, cores: number = availableParallelism()): number {
  return setting === 'auto' ? Math.min(MOST_WORKERS, Math.max(1, cores - 1)) : setting;
}

function capped(bytes: number): number {
  return Math.min(MOST_MEMORY_BYTES, Math.floor(bytes * 0.9));
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Answered by the next file, or by the machine's memory: neither version need exist.
    return undefined;
  }
}
