/** Small file systems of a test's own: a tmpfs to fill up, an ext4 image to pull the plug on. Needs to be allowed to mount. */
import { spawnSync } from 'node:child_process';
import { constants, copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

export interface Mounted {
  /** Where it is mounted. */
  directory: string;
  unmount(): void;
}

function mount(kind: string[], source: string): Mounted {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-mount-'));
  try {
    run('mount', ...kind, source, directory);
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
  let isMounted = true;
  const unmount = () => {
    if (!isMounted) return;
    isMounted = false;
    // Lazily: a process that was just killed may still be leaving.
    run('umount', '-l', directory);
    rmSync(directory, { recursive: true });
  };
  return { directory, unmount };
}

export function mountTmpfs(mebibytes: number): Mounted {
  return mount(['-t', 'tmpfs', '-o', `size=${mebibytes}m`], 'tmpfs');
}

/** A fresh ext4 image. */
export function makeImage(file: string, mebibytes: number): void {
  writeFileSync(file, '');
  truncateSync(file, mebibytes * 2 ** 20);
  run('mkfs.ext4', '-q', '-F', file);
}

/** `commit=300`: nothing is written behind the back of whoever copies the image of a stopped agent. */
export function mountImage(file: string): Mounted {
  return mount(['-o', 'loop,commit=300'], file);
}

/** What would be on the disk if the power went off now. */
export function copyImage(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
}

/** Why nothing can be mounted here, or undefined. */
export function unmountable(kind: 'tmpfs' | 'ext4'): string | undefined {
  const where = mkdtempSync(join(tmpdir(), 'plumbline-probe-'));
  try {
    if (kind === 'tmpfs') mountTmpfs(1).unmount();
    else {
      mkdirSync(join(where, 'm'));
      makeImage(join(where, 'image'), 8);
      mountImage(join(where, 'image')).unmount();
    }
    return undefined;
  } catch (error) {
    return `a ${kind} cannot be mounted here: ${error instanceof Error ? error.message.trim() : String(error)}`;
  } finally {
    rmSync(where, { recursive: true });
  }
}
