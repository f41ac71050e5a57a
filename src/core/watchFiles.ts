/** Applies a file's content when it changes: looks every so often, since a mounted secret changes by a swapped link and tells no watcher. */
import { readFileSync } from 'node:fs';

interface Watch {
  /** Looks now. */
  check(): void;
  stop(): void;
}

/**
 * `apply` throws when the files are no good: what was in use stays. `told`, once for each content, that it was taken (null) or why not. Nothing
 * is applied at the start.
 */
export function watchFiles(
  files: readonly string[],
  everyMs: number,
  apply: () => void,
  told: (error: Error | null) => void,
): Watch {
  let seen = contentOf(files);
  const check = () => {
    const content = contentOf(files);
    if (content === seen) return;
    seen = content;
    try {
      apply();
      told(null);
    } catch (error) {
      told(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const timer = setInterval(check, everyMs).unref();
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
