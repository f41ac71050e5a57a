/** What the machine or its container gives us: `memory_limit: auto` and `workers: auto` in numbers. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { parseBytes } from './units.ts';

const MOST_MEMORY_BYTES = 512 * 2 ** 20;
const MOST_WORKERS = 4;
/** cgroup v2, then v1. Inside a container its own limit lies at the root. */
const CGROUP_FILES = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'];

/** Bytes the agent may use: a size, or `auto`: 90 % of the cgroup's limit (of the machine's memory without one), at most 512 MiB. */
export function memoryLimitBytes(setting: string, read: (file: string) => string | undefined = readText): number {
  const fixed = parseBytes(setting);
  if (fixed !== undefined) return fixed;
  return capped(cgroupLimitBytes(read) ?? totalmem());
}

/** What the container may use before the kernel kills it; null when nobody limits it below the machine's memory. */
export function cgroupLimitBytes(read: (file: string) => string | undefined = readText): number | null {
  for (const file of CGROUP_FILES) {
    // v2 says "max" and v1 a number near 2^63 when there is no limit.
    const limit = Number(read(file)?.trim() || Number.NaN);
    if (Number.isFinite(limit) && limit > 0) return limit < totalmem() ? limit : null;
  }
  return null;
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
