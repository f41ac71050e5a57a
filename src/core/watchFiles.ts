/** Applies a file's content when it changes: looks every so often, since a mounted secret changes by a swapped link and tells no watcher. */
import { readFileSync } from 'node:fs';

export interface Watch {
  /** Looks now. */
  check(): void;
  stop(): void;
}

/**
 * `apply` throws when the files are no good: what was in use stays, `failed` is told, once for each content. Nothing is applied at the
 * start.
 */
export function watchFiles(
  files: readonly string[],
  everyMs: number,
  apply: () => void,
  failed: (error: unknown) => void,
): Watch {
  let seen = contentOf(files);
  const check = () => {
    const content = contentOf(files);
    if (content === seen) return;
    seen = content;
    try {
      apply();
    } catch (error) {
      failed(error);
    }
  };
  const timer = setInterval(check, everyMs);
  timer.unref();
  return { check, stop: () => clearInterval(timer) };
}

/** All files as one text; a file that cannot be read has none, and `apply` will say so. */
function contentOf(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        return readFileSync(file, 'latin1');
      } catch {
        return '';
      }
    })
    .join('\0');
}
