/** A checkout of another commit beside this one, with this one's packages. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What the measured code is made of. */
const MEASURED = ['src', 'bench', 'package-lock.json'];

function git(...args: string[]): string {
  return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** The commit that a name means; null when this is no repository, or has no such commit (a shallow clone). */
export function commitOf(name: string): string | null {
  try {
    return git('rev-parse', '--verify', '--quiet', `${name}^{commit}`);
  } catch {
    return null;
  }
}

/** Whether anything that is measured differs between the commit and the files here. */
export function isChangedSince(commit: string): boolean {
  const untracked = git('ls-files', '--others', '--exclude-standard', '--', ...MEASURED);
  return untracked !== '' || git('diff', '--name-only', commit, '--', ...MEASURED) !== '';
}

export interface Checkout {
  directory: string;
  remove(): void;
}

export function checkOut(commit: string): Checkout {
  const parent = mkdtempSync(join(tmpdir(), 'plumbline-guard-'));
  const directory = join(parent, 'base');
  git('worktree', 'add', '--detach', directory, commit);
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return {
    directory,
    remove() {
      git('worktree', 'remove', '--force', directory);
      rmSync(parent, { recursive: true, force: true });
    },
  };
}
