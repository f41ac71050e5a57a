/** Preloaded into the agent's threads by tests: a worker that is asked for the CRC of bytes with a certain word in them comes to harm. */
const { isMainThread } = require('node:worker_threads');
const library = require('@node-rs/crc32');

if (!isMainThread) {
  const { crc32 } = library;
  library.crc32 = (data, value) => {
    const bytes = Buffer.from(data.buffer ?? [], data.byteOffset, data.byteLength);
    const at = bytes.indexOf('sabotage:');
    if (at >= 0) harm(bytes.toString('latin1', at + 9, at + 13));
    return crc32(data, value);
  };
}

function harm(kind) {
  switch (kind) {
    case 'exit':
      process.exit(3);
      break;
    case 'loop':
      for (;;);
    case 'heap':
      for (const kept = []; ; ) kept.push(new Array(1e6).fill({}));
    case 'fail':
      throw new Error('sabotaged');
  }
}
