/**
 * `npm run bench:sinks`: CPU of the storage sink, all threads of the process, beside that of the compression alone, over the same bytes in
 * alternating rounds. The bound is 1.3 times.
 *
 *   node bench/sinks/storage.ts [--compression zstd|gzip] [--rounds 8] [--megabytes 256] [--smoke]
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { pino } from 'pino';
import {
  BlockPool,
  copyInto,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  startFrame,
  UNIT_BYTES,
  writeU64,
} from '../../src/core/block.ts';
import type { Part, SinkContext } from '../../src/core/component.ts';
import { createEncoder } from '../../src/sinks/storage/encode.ts';
import { createStorageWriter } from '../../src/sinks/storage/writer.ts';
import { createPayloads } from '../payloads.ts';
import { interval, median } from '../statistics.ts';

const BATCHES = 12;
const BATCH_BYTES = 4 * UNIT_BYTES;
const CHUNK_BYTES = 256 << 10;
const ROW = { stream: 'raw', signal: 'traces' } as const;

const { values } = parseArgs({
  options: {
    compression: { type: 'string', default: 'zstd' },
    rounds: { type: 'string', default: '8' },
    megabytes: { type: 'string', default: '256' },
    smoke: { type: 'boolean', default: false },
  },
});
const compression = values.compression === 'gzip' ? 'gzip' : 'zstd';
const rounds = values.smoke ? 1 : Number(values.rounds);
const bytesARound = values.smoke ? 2 * BATCH_BYTES : Number(values.megabytes) * 1e6;

const pool = BlockPool.create((BATCHES + 1) * BATCH_BYTES);
const batches = Array.from({ length: BATCHES }, (_, i) => layOut(i));

const sink: number[] = [];
const alone: number[] = [];
for (let round = 0; round < rounds; round++) {
  sink.push(await cpuPerMegabyte(writeFiles));
  alone.push(await cpuPerMegabyte(compressAlone));
}
const ratios = sink.map((one, i) => one / (alone[i] as number));
const [low, high] = interval(ratios);
const digits = (n: number) => n.toFixed(3);
process.stdout.write(
  `${[
    `Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores, ${compression}, ${rounds} rounds of ${(bytesARound / 1e6).toFixed(0)} MB`,
    `storage sink      ${digits(median(sink))} CPU-s per 100 MB`,
    `compression alone ${digits(median(alone))} CPU-s per 100 MB`,
    `ratio             ${digits(median(ratios))} (95 % of medians: ${digits(low)} to ${digits(high)})`,
  ].join('\n')}\n`,
);

/** Frames of W-std, end to end in one block, as parts of a batch. */
function layOut(number: number): Part[] {
  const [payload] = createPayloads({ workload: 'W-std', seed: 1 });
  if (payload === undefined) throw new Error('no workload');
  const encoder = createEncoder({ format: 'otlp_proto' });
  const span = frameSpan(payload.bytes.length);
  const block = pool.allocate(BATCH_BYTES);
  return Array.from({ length: Math.floor(BATCH_BYTES / span) }, (_, i) => {
    const at = block + i * span;
    const bytes = Buffer.from(payload.bytes);
    payload.patch(bytes, number * 1000 + i, BigInt(Date.now()) * 1_000_000n);
    startFrame(pool, at, ROW.stream, ROW.signal, Date.now(), bytes.length);
    pool.words[(at + Field.items) >>> 2] = payload.items;
    copyInto(pool.bytes, at + FRAME_HEADER_BYTES, bytes);
    // Sequences are given when a batch is written: each batch goes out many times.
    return encoder.direct(pool, at) as Part;
  });
}

async function cpuPerMegabyte(run: (batches: Iterable<Part[]>) => Promise<void>): Promise<number> {
  const from = process.cpuUsage();
  await run(endless());
  const { user, system } = process.cpuUsage(from);
  return ((user + system) / 1e6 / bytesARound) * 1e8;
}

function* endless(): Iterable<Part[]> {
  let sequence = 0;
  for (let bytes = 0; bytes < bytesARound; ) {
    for (const parts of batches) {
      for (const part of parts) {
        part.sequence = part.lastSequence = sequence++;
        writeU64(pool, part.at - Field.length + Field.sequence, part.sequence);
        bytes += part.length;
      }
      yield parts;
      if (bytes >= bytesARound) return;
    }
  }
}

async function writeFiles(source: Iterable<Part[]>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'plumbline-bench-'));
  const context: SinkContext = {
    name: 'storage',
    agent: 'bench-00000000',
    pool,
    directory,
    log: pino({ level: 'silent' }),
    confirm: () => {},
    fail: () => {},
    rewind: (_row, error) => {
      throw new Error(error);
    },
    now: Date.now,
  };
  const writer = createStorageWriter(
    {
      directory,
      extension: `.binpb.${compression === 'gzip' ? 'gz' : 'zst'}`,
      compression,
      rotateBytes: 128 << 20,
      rotateMs: 60_000,
      retainBytes: Number.POSITIVE_INFINITY,
      retainMs: Number.POSITIVE_INFINITY,
    },
    context,
  );
  try {
    for (const parts of source) {
      const bytes = parts.reduce((sum, { length }) => sum + length, 0);
      await writer.write({ row: ROW, parts, receivedMs: Date.now(), bytes });
    }
    await writer.close(Date.now() + 60_000);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The same bytes through the same codec at the same level, and away. */
async function compressAlone(source: Iterable<Part[]>): Promise<void> {
  const compressor =
    compression === 'gzip'
      ? createGzip({ level: 1, chunkSize: CHUNK_BYTES })
      : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 }, chunkSize: CHUNK_BYTES });
  compressor.resume();
  for (const parts of source) {
    const [first, last] = [parts[0] as Part, parts.at(-1) as Part];
    for (let at = first.at; at < last.at + last.length; at += CHUNK_BYTES) {
      const chunk = pool.bytes.subarray(at, Math.min(at + CHUNK_BYTES, last.at + last.length));
      await new Promise<void>((resolve, reject) => {
        compressor.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
  }
  const ended = once(compressor, 'end');
  compressor.end();
  await ended;
}
