/**
 * Writes record batches in place of kafkajs: into one buffer that is used again, and compressed from there.
 *
 *   RecordBatch { baseOffset 8; length 4; leaderEpoch 4; magic 1; crc 4; attributes 2; lastOffsetDelta 4; first and last timestamp 8 + 8;
 *                 producerId 8; producerEpoch 2; baseSequence 4; count 4; records }                  all big-endian; crc is over what follows it
 *   Record      { length; attributes 1; timestampDelta; offsetDelta; key; value; headers }      lengths and deltas are zigzag varints
 * https://kafka.apache.org/documentation/#recordbatch
 */
import { crc32c } from '@node-rs/crc32';
import { copyInto } from '../../core/block.ts';
import { freeLarge } from '../../core/freeLarge.ts';
import { allocateBehindRoom } from './frontRoom.ts';

const HEADER_BYTES = 61;
const MAGIC = 2;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
/** A larger batch has a buffer of its own: one that is rare should not be held for ever. */
const MOST_KEPT_BYTES = 4 << 20;
const VARINT_BYTES = 5;

/** What kafkajs hands over of a message; `value` may be a getter and is read once. */
export interface PlainRecord {
  offsetDelta?: number;
  timestampDelta?: number;
  key: Buffer | string | null;
  value: Buffer | string | null;
  headers?: Record<string, string>;
}

export interface BatchOptions {
  compression: number;
  records: readonly PlainRecord[];
  firstTimestamp: number;
  maxTimestamp: number;
  lastOffsetDelta: number;
  producerEpoch: number;
  firstSequence: number;
}

/** `compress` has to be synchronous: the buffer is used again right after. */
export function createBatchWriter(compress: (compression: number, records: Buffer) => Buffer) {
  let kept = Buffer.allocUnsafe(0);
  const room = (bytes: number): Buffer => {
    if (bytes > MOST_KEPT_BYTES) return Buffer.allocUnsafe(bytes);
    if (kept.length < bytes) kept = Buffer.allocUnsafe(Math.min(MOST_KEPT_BYTES, bytes * 2));
    return kept;
  };
  return (options: BatchOptions): Buffer => {
    const records = options.records.map(bytesOfRecord);
    const buffer = room(records.reduce((sum, { bytes }) => sum + bytes + VARINT_BYTES, 0));
    let end = 0;
    for (const record of records) end = writeRecord(buffer, end, record);
    const body = compress(options.compression, buffer.subarray(0, end));
    const batch = allocateBehindRoom(HEADER_BYTES + body.length);
    writeHeader(batch, options);
    body.copy(batch, HEADER_BYTES);
    if (body.buffer !== buffer.buffer) freeLarge(body);
    batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT);
    return batch;
  };
}

function writeHeader(batch: Buffer, options: BatchOptions): void {
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt32BE(0, 12);
  batch.writeInt8(MAGIC, 16);
  batch.writeInt16BE(options.compression, ATTRIBUTES_AT);
  batch.writeInt32BE(options.lastOffsetDelta, 23);
  batch.writeBigInt64BE(BigInt(options.firstTimestamp), 27);
  batch.writeBigInt64BE(BigInt(options.maxTimestamp), 35);
  // Not idempotent: no producer id.
  batch.writeBigInt64BE(-1n, 43);
  batch.writeInt16BE(options.producerEpoch, 51);
  batch.writeInt32BE(options.firstSequence, 53);
  batch.writeInt32BE(options.records.length, 57);
}

interface RecordBytes {
  record: PlainRecord;
  key: Buffer | null;
  value: Buffer | null;
  headers: [Buffer, Buffer][];
  /** Of the record without its length. */
  bytes: number;
}

function bytesOfRecord(record: PlainRecord): RecordBytes {
  const { offsetDelta = 0, timestampDelta = 0 } = record;
  const key = bytesOf(record.key);
  const value = bytesOf(record.value);
  const headers = Object.entries(record.headers ?? {}).map(([name, text]): [Buffer, Buffer] => [
    Buffer.from(name),
    Buffer.from(text),
  ]);
  let bytes = 1 + sizeOf(timestampDelta) + sizeOf(offsetDelta) + sizeOfField(key) + sizeOfField(value);
  bytes += sizeOf(headers.length);
  for (const [name, text] of headers) bytes += sizeOfField(name) + sizeOfField(text);
  return { record, key, value, headers, bytes };
}

function writeRecord(buffer: Buffer, at: number, { record, key, value, headers, bytes }: RecordBytes): number {
  let pos = writeInt(buffer, at, bytes);
  buffer[pos++] = 0;
  pos = writeInt(buffer, pos, record.timestampDelta ?? 0);
  pos = writeInt(buffer, pos, record.offsetDelta ?? 0);
  pos = writeField(buffer, pos, key);
  pos = writeField(buffer, pos, value);
  pos = writeInt(buffer, pos, headers.length);
  for (const [name, text] of headers) pos = writeField(buffer, writeField(buffer, pos, name), text);
  return pos;
}

/** kafkajs leaves out what the caller left out. */
function bytesOf(value: Buffer | string | null | undefined): Buffer | null {
  return typeof value === 'string' ? Buffer.from(value) : (value ?? null);
}

function sizeOfField(field: Buffer | null): number {
  return field === null ? sizeOf(-1) : sizeOf(field.length) + field.length;
}

function writeField(buffer: Buffer, at: number, field: Buffer | null): number {
  if (field === null) return writeInt(buffer, at, -1);
  const pos = writeInt(buffer, at, field.length);
  copyInto(buffer, pos, field);
  return pos + field.length;
}

/** Zigzag, then 7 bits a byte. */
function sizeOf(value: number): number {
  let bytes = 1;
  for (let rest = ((value << 1) ^ (value >> 31)) >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

function writeInt(buffer: Buffer, at: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  let pos = at;
  for (; rest > 0x7f; rest >>>= 7) buffer[pos++] = (rest & 0x7f) | 0x80;
  buffer[pos++] = rest;
  return pos;
}
