/** Opens what the storage sink writes to: a file as it is, or compressed. */
import { dirname } from 'node:path';
import { makeDirectory } from '../../core/makeDirectory.ts';
import { CompressedOutput } from './compressed.ts';
import { type OutputFile, openPlain } from './plain.ts';

const DIRECTORY_MODE = 0o750;

export type Compression = 'none' | 'gzip' | 'zstd';

/** Opens a file that does not exist yet, with the directories above it. `isBusy`: much will be written to it. */
export async function createOutput(path: string, isBusy: boolean, compression: Compression): Promise<OutputFile> {
  await makeDirectory(dirname(path), DIRECTORY_MODE);
  const file = await openPlain(path, isBusy);
  return compression === 'none' ? file : new CompressedOutput(file, compression);
}
