/**
 * Reads recorded telemetry: files of the storage sink, and of the Collector's file exporter. What a file is, its bytes say: gzip or zstd
 * around all of it or around each record, JSON lines, or records of a 4-byte big-endian length and one request.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Encoding, type Signal } from '../../core/block.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import { JsonRequests } from '../../otlp/jsonRequest.ts';
import { Reader, readEnd, readTag, skipField } from '../../otlp/protobuf.ts';
import { inflate } from '../../worker/inflate.ts';

interface Request {
  signal: Signal;
  bytes: Uint8Array;
}

/** As elsewhere, what is piped in. */
const STDIN = '-';
/** Of what is read below a directory, before `.gz` and `.zst`. */
const ENDINGS = ['binpb', 'jsonl', 'json', 'pb'];
const GZIP = 0x1f8b;
const ZSTD = 0x28b52ffd;
const BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** And what is below it: tabs, the carriage returns of Windows. */
const SPACE = 0x20;
/** Tab, line feed, carriage return and blank; no length of a request begins so. */
const JSON_SPACE = [9, 10, 13, SPACE];
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** The storage sink's names hold sequences without leading zeros. */
const { compare: byNumbers } = new Intl.Collator('en', { numeric: true });
/** Of one request in JSON, as protobuf. */
const MOST_REQUEST_BYTES = 256 << 20;
/** Of one file, inflated. */
const MOST_FILE_BYTES = 2 ** 31 - 1;

/**
 * Gives every request of a file, or of all files below a directory, oldest first; its bytes are valid until `take` returns. Throws
 * CONFIG_INVALID for what cannot be read, or `take` throws an AgentError about, with file and place.
 */
export function readInput(path: string, take: (signal: Signal, bytes: Uint8Array) => void): void {
  const json = new JsonRequests(MOST_REQUEST_BYTES);
  for (const file of filesOf(path)) {
    let at = 0;
    try {
      const bytes = plainOf(readFileSync(file === STDIN ? 0 : file));
      at = 1;
      for (const record of recordsOf(bytes)) {
        const request = requestOf(record, json);
        if (request !== null) take(request.signal, request.bytes);
        at++;
      }
    } catch (error) {
      const name = file === STDIN ? 'standard input' : file;
      const where = at === 0 ? name : `${name}: record ${at}`;
      throw new AgentError('CONFIG_INVALID', `${where} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Throws CONFIG_INVALID for a path that is not there, and for a directory that holds no file of telemetry: it is hardly the one that is meant. */
export function requireTelemetry(path: string): void {
  if (filesOf(path).length > 0) return;
  throw new AgentError('CONFIG_INVALID', `${path} holds no file of telemetry: names end in ${ENDINGS.join(', ')}`);
}

function filesOf(path: string): string[] {
  if (path === STDIN) return [STDIN];
  try {
    if (!statSync(path).isDirectory()) return [path];
  } catch (error) {
    throw new AgentError('CONFIG_INVALID', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  // What is still being written is no file yet.
  const files = globSync(`**/*.{${ENDINGS.join(',')}}{,.gz,.zst}`, { cwd: path }).sort(byNumbers);
  refuseTwice(path, files);
  return files.map((file) => join(path, file));
}

/** The storage sink's raw holds all that its sampled holds. */
function refuseTwice(path: string, files: readonly string[]): void {
  const folderOf = (stream: string) =>
    files.map((file) => new RegExp(`^(.*/)?${stream}(?=/(traces|metrics|logs)/year=)`).exec(file)?.[0]).find(Boolean);
  const [raw, sampled] = [folderOf('raw'), folderOf('sampled')];
  if (raw === undefined || sampled === undefined) return;
  const wayOut = `what was sampled would count twice: name ${join(path, raw)}`;
  throw new AgentError('CONFIG_INVALID', `${path} holds both ${raw} and ${sampled}: ${wayOut}`);
}

/** All members of gzip, and all frames of zstd. */
function plainOf(bytes: Buffer): Buffer {
  if (bytes.length > 2 && bytes.readUInt16BE(0) === GZIP)
    return Buffer.from(inflate(bytes, Encoding.gzip, MOST_FILE_BYTES));
  if (bytes.length > 4 && bytes.readUInt32BE(0) === ZSTD)
    return Buffer.from(inflate(bytes, Encoding.zstd, MOST_FILE_BYTES));
  return bytes;
}

function recordsOf(bytes: Buffer): Generator<Buffer> {
  const marked = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const text = marked ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
  return text[afterSpace(text, 0)] === BRACE ? linesOf(text) : framesOf(bytes);
}

function afterSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (JSON_SPACE.includes(bytes[at] ?? 0)) at++;
  return at;
}

function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let from = afterSpace(bytes, 0); from < bytes.length; from = afterSpace(bytes, from)) {
    const end = bytes.indexOf(10, from);
    const stop = end < 0 ? bytes.length : end;
    let until = stop;
    while (until > from && (bytes[until - 1] ?? 0) <= SPACE) until--;
    const line = bytes.subarray(from, until);
    from = stop + 1;
    if (line.length === 0) continue;
    if (line[0] !== BRACE || line.at(-1) !== CLOSING_BRACE) {
      const wayOut = 'each has to stand on one, as `jq -c .` writes it';
      throw new AgentError('BODY_UNDECODABLE', `a line that is no whole request: ${wayOut}`);
    }
    yield line;
  }
}

function* framesOf(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; ) {
    const length = from + 4 <= bytes.length ? bytes.readUInt32BE(from) : Infinity;
    if (from + 4 + length > bytes.length) {
      const other = from === 0 ? ', or holds no telemetry: neither JSON lines, nor requests behind their lengths' : '';
      throw new AgentError('BODY_UNDECODABLE', `it is cut off at byte ${from}${other}`);
    }
    yield plainOf(bytes.subarray(from + 4, from + 4 + length));
    from += 4 + length;
  }
}

const JSON_KEYS: [key: string, signal: Signal][] = [
  ['"resourceSpans"', 'traces'],
  ['"resourceMetrics"', 'metrics'],
  ['"resourceLogs"', 'logs'],
];

/** Null for a request without items, which says nothing about its signal. */
function requestOf(record: Buffer, json: JsonRequests): Request | null {
  if (record[0] !== BRACE) {
    const signal = signalOf(record);
    return signal === null ? null : { signal, bytes: record };
  }
  const places = JSON_KEYS.map(([key, signal]) => ({ signal, at: record.indexOf(key) })).filter(({ at }) => at >= 0);
  const [first] = places.sort((a, b) => a.at - b.at);
  if (first === undefined) {
    if (String(record).replace(/\s/g, '') === '{}') return null;
    throw new AgentError('BODY_UNDECODABLE', `it has none of ${JSON_KEYS.map(([key]) => key).join(', ')}`);
  }
  return { signal: first.signal, bytes: json.convert(first.signal, record) };
}

/**
 * The signal of a request in protobuf, by its first item: all three kinds of request look alike down to there. Metrics have a name and
 * spans an id in field 1, log records a time of eight bytes or nothing; and spans have such times in fields 7 and 8, metrics none.
 */
function signalOf(request: Uint8Array): Signal | null {
  const reader = new Reader(request);
  const item = firstItem(reader, request.length);
  if (item === null) return null;
  let isLog = true;
  reader.pos = item.at;
  while (reader.pos < item.end) {
    const tag = readTag(reader, item.end);
    if (tag === 57 || tag === 65) return 'traces';
    if (tag === 10) isLog = false;
    skipField(reader, tag, item.end);
  }
  return isLog ? 'logs' : 'metrics';
}

function firstItem(reader: Reader, end: number): { at: number; end: number } | null {
  const within = (from: number, to: number, path: readonly number[]): { at: number; end: number } | null => {
    const [wanted, ...rest] = path;
    if (wanted === undefined) return { at: from, end: to };
    reader.pos = from;
    while (reader.pos < to) {
      const tag = readTag(reader, to);
      if (tag !== wanted) {
        skipField(reader, tag, to);
        continue;
      }
      const stop = readEnd(reader, to);
      const found = within(reader.pos, stop, rest);
      if (found !== null) return found;
      reader.pos = stop;
    }
    return null;
  };
  return within(0, end, [10, 18, 18]);
}
