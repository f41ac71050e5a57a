/**
 * Reads Kafka's record batches, version 2: https://kafka.apache.org/documentation/#recordbatch
 *
 *   baseOffset i64, batchLength i32, partitionLeaderEpoch i32, magic i8, crc u32, attributes i16, lastOffsetDelta i32,
 *   baseTimestamp i64, maxTimestamp i64, producerId i64, producerEpoch i16, baseSequence i32, count i32, records (compressed as a whole)
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

const HEADER_BYTES = 61;
const LENGTH_AT = 8;
const MAGIC_AT = 16;
const ATTRIBUTES_AT = 21;
const COUNT_AT = 57;
const Codec = { none: 0, gzip: 1, zstd: 4 } as const;

export interface Batch {
  count: number;
  /** With its header, compressed. */
  bytes: number;
  codec: number;
  /** What stands behind the header. */
  content: Buffer;
}

export interface KafkaRecord {
  key: Buffer | null;
  value: Buffer;
  headers: Map<string, string>;
}

/** The batches of one record set. */
export function* readBatches(records: Buffer): Generator<Batch> {
  for (let at = 0; at + HEADER_BYTES <= records.length; ) {
    const end = at + LENGTH_AT + 4 + records.readInt32BE(at + LENGTH_AT);
    if (records[at + MAGIC_AT] !== 2)
      throw new RangeError(`record batch of magic ${records[at + MAGIC_AT]}, known is 2`);
    const codec = records.readInt16BE(at + ATTRIBUTES_AT) & 7;
    yield {
      count: records.readInt32BE(at + COUNT_AT),
      bytes: end - at,
      codec,
      content: records.subarray(at + HEADER_BYTES, end),
    };
    at = end;
  }
}

/** The records of a batch, decompressed. */
export function* readRecords({ count, codec, content }: Batch): Generator<KafkaRecord> {
  const cursor = { bytes: decompress(codec, content), at: 0 };
  for (let i = 0; i < count; i++) {
    const length = readZigZag(cursor);
    const end = cursor.at + length;
    cursor.at++;
    readZigZag(cursor);
    readZigZag(cursor);
    const key = readBytes(cursor);
    const value = readBytes(cursor) ?? Buffer.alloc(0);
    const headers = new Map<string, string>();
    const headerCount = readZigZag(cursor);
    for (let h = 0; h < headerCount; h++) headers.set(`${readBytes(cursor)}`, `${readBytes(cursor) ?? ''}`);
    if (cursor.at !== end) throw new RangeError(`record of ${length} bytes ends at ${cursor.at}, not at ${end}`);
    yield { key, value, headers };
  }
}

function decompress(codec: number, content: Buffer): Buffer {
  if (codec === Codec.none) return content;
  if (codec === Codec.zstd) return zstdDecompressSync(content);
  if (codec === Codec.gzip) return gunzipSync(content);
  throw new RangeError(`codec ${codec} is neither none, gzip nor zstd`);
}

interface Position {
  bytes: Buffer;
  at: number;
}

/** A zigzag varint; timestamps of more than 53 bits lose their low ones, which nobody needs. */
function readZigZag(cursor: Position): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw new RangeError('record batch cut off');
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

function readBytes(cursor: Position): Buffer | null {
  const length = readZigZag(cursor);
  if (length < 0) return null;
  cursor.at += length;
  return cursor.bytes.subarray(cursor.at - length, cursor.at);
}
