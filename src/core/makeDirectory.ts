/** Makes a directory and those above it, and syncs them. Node's own `recursive` never returns where one above cannot be made (a working directory that is gone). */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, relative } from 'node:path';

/** The first that had to be made, null where none had; rejects with Node's error. */
export async function makeDirectory(directory: string, mode: number): Promise<string | null> {
  try {
    await mkdir(directory, mode);
    return directory;
  } catch (error) {
    const above = dirname(directory);
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isMissing || above === directory) {
      await expectDirectory(directory, error);
      return null;
    }
    const first = await makeDirectory(above, mode);
    // Somebody else may have made it meanwhile.
    await mkdir(directory, mode).catch((why: unknown) => expectDirectory(directory, why));
    return first ?? directory;
  }
}

/** Makes a directory's names safe, and those of the directories above it up to `top`: one that is new is an entry of the one above it. */
export async function syncUp(from: string, top: string): Promise<void> {
  for (let directory = from; ; directory = dirname(directory)) {
    await syncDirectory(directory);
    if (relative(top, directory) === '' || directory === dirname(directory)) return;
  }
}

/** Makes the names in it safe. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Throws `why` unless there is a directory. */
async function expectDirectory(directory: string, why: unknown): Promise<void> {
  // What stat says is less than why it could not be made.
  const found = await stat(directory).catch(() => null);
  if (found?.isDirectory() !== true) throw why;
}
