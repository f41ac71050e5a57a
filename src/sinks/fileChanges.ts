/** Tells that files were replaced or written to: certificates and passwords change under a running agent. Asked at use, so that no timer runs. */
import { statSync } from 'node:fs';

/** Since this call; looks at most every `everyMs` of `now`, in milliseconds. A missing file counts as it is. */
export function changesOf(files: readonly string[], everyMs: number, now: () => number) {
  const before = stampOf(files);
  let lookedMs = now();
  return {
    haveChanged(): boolean {
      if (files.length === 0 || now() - lookedMs < everyMs) return false;
      lookedMs = now();
      return stampOf(files) !== before;
    },
  };
}

/** Inode, size and time of each. */
function stampOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false });
      return found === undefined ? 'none' : `${found.ino} ${found.size} ${found.mtimeMs}`;
    })
    .join(', ');
}
