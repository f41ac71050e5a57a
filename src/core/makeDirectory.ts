/**
 * Makes directories that a power cut does not take back. Node's own `recursive` never returns where one above cannot be made (a working
 * directory that is gone).
 */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** With those above it, each synced in the one above; whether any had to be made. Rejects with Node's error. */
export async function makeDirectory(directory: string, mode: number): Promise<boolean> {
  const above = dirname(directory);
  try {
    await mkdir(directory, mode);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isMissing || above === directory) {
      await expectDirectory(directory, error);
      return false;
    }
    await makeDirectory(above, mode);
    // Somebody else may have made it meanwhile.
    await mkdir(directory, mode).catch((why: unknown) => expectDirectory(directory, why));
  }
  await syncDirectory(above);
  return true;
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
