/** Makes a directory and those above it. Node's own `recursive` never returns where one above cannot be made (a working directory that is gone). */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whether any had to be made; rejects with Node's error. */
export async function makeDirectory(directory: string, mode: number): Promise<boolean> {
  try {
    await mkdir(directory, mode);
    return true;
  } catch (error) {
    const above = dirname(directory);
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isMissing || above === directory) {
      await expectDirectory(directory, error);
      return false;
    }
    await makeDirectory(above, mode);
    // Somebody else may have made it meanwhile.
    await mkdir(directory, mode).catch((why: unknown) => expectDirectory(directory, why));
    return true;
  }
}

/** Throws `why` unless there is a directory. */
async function expectDirectory(directory: string, why: unknown): Promise<void> {
  // What stat says is less than why it could not be made.
  const found = await stat(directory).catch(() => null);
  if (found?.isDirectory() !== true) throw why;
}
