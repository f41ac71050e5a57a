/** How sinks compress, at the fastest levels: an agent pays for ratio with its neighbours' CPU. */
import { constants } from 'node:zlib';

export const GZIP_OPTIONS = { level: 1 };

/** 2^13 hashes, half of what level 1 has: then they lie in the first-level cache. */
const HASH_LOG = 13;
export const ZSTD_OPTIONS = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_hashLog]: HASH_LOG },
};
