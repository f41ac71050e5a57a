/** How an event reads: `12:03:20  checkout  errors  healthy -> breached  7.1% (above 5%) over 1m, 812 items`. */
import type protobuf from 'protobufjs';
import { formatDuration, parseDurationMs } from '../../core/units.ts';

const MOST_CHARACTERS = 256;
const MOST_ENTRIES = 8;
const PREFIX = 'plumbline.';

/** What protobufjs makes of the fields used here; anything may be missing. */
interface Value {
  stringValue?: string | null;
  boolValue?: boolean | null;
  intValue?: { toString(): string } | null;
  doubleValue?: number | null;
  arrayValue?: { values?: Value[] | null } | null;
}
interface KeyValue {
  key?: string;
  value?: Value | null;
}
interface LogRecord {
  timeUnixNano?: { toString(): string } | null;
  observedTimeUnixNano?: { toString(): string } | null;
  severityText?: string;
  body?: Value | null;
  attributes?: KeyValue[];
  eventName?: string;
}
interface Request {
  resourceLogs?: { resource?: { attributes?: KeyValue[] } | null; scopeLogs?: { logRecords?: LogRecord[] }[] }[];
}

type Words = Map<string, string>;

/** One line for each log record of a decoded logs request. */
export function linesOf(message: protobuf.Message): string {
  const request = message as Request;
  let text = '';
  for (const { resource, scopeLogs } of request.resourceLogs ?? []) {
    const service = wordsOf(resource?.attributes ?? []).get('service.name') ?? '';
    for (const { logRecords } of scopeLogs ?? []) {
      for (const record of logRecords ?? []) text += `${lineOf(record, service)}\n`;
    }
  }
  return text;
}

function lineOf(record: LogRecord, resourceService: string): string {
  const words = wordsOf(record.attributes ?? []);
  const columns = [timeOf(record), words.get('contract.service') ?? plain(resourceService)];
  // An event about a signal has its states beside the contract's.
  const of = words.has('signal.state') ? 'signal' : 'contract';
  const state = words.get(`${of}.state`);
  if (words.has('signal.name')) columns.push(words.get('signal.name') as string);
  if (state !== undefined) {
    const before = words.get(`${of}.previous_state`) ?? state;
    columns.push(before === state ? state : `${before} -> ${state}`);
  } else columns.push(plain(record.eventName || record.severityText || '').replace(PREFIX, ''));
  columns.push(...measureOf(words), ...restOf(words));
  const operations = words.get('signal.operations');
  if (operations !== undefined) columns.push(`most by ${operations}`);
  // The body of a contract or an anomaly says in a sentence what the columns say.
  if (record.body && state === undefined && !words.has('anomaly.score')) columns.push(textOf(record.body));
  return columns.filter((column) => column !== '').join('  ');
}

/** `7.1% (above 5%) over 1m, 812 items` */
function measureOf(words: Words): string[] {
  const threshold = words.get('signal.threshold');
  const value = words.get('signal.value');
  let text = '';
  if (value !== undefined) text = readable(value, threshold ?? '');
  if (threshold !== undefined) text += ` (${threshold})`;
  if (words.has('signal.window')) text += ` over ${words.get('signal.window')}`;
  if (words.has('signal.items')) text += `, ${words.get('signal.items')} items`;
  return [text.trim()];
}

const SCALARS = ['stringValue', 'doubleValue', 'boolValue', 'intValue'] as const;

/** Said elsewhere in the line, or of no use in it. */
const SHOWN = new Set([
  'contract.service',
  'contract.state',
  'contract.previous_state',
  'contract.version',
  'contract.owner',
  'plumbline.agent',
  'signal.state',
  'signal.previous_state',
  'signal.name',
  'signal.value',
  'signal.threshold',
  'signal.window',
  'signal.items',
  'signal.since',
  'signal.operations',
  'signal.versions',
  'trace.ids',
  'event.name',
]);

function restOf(words: Words): string[] {
  return [...words].filter(([key]) => !SHOWN.has(key)).map(([key, value]) => `${key}=${value}`);
}

/** A share is 0.071 on the wire and 7.1% to people, a duration milliseconds there and 26h here. The threshold says which it is. */
function readable(value: string, threshold: string): string {
  const number = Number(value);
  if (value === '' || !Number.isFinite(number)) return value;
  const limit = threshold.replace(/^(above|below|[<>])\s*/, '');
  if (parseDurationMs(limit) !== undefined) return formatDuration(number);
  return /^[\d.]+%$/.test(limit) ? `${Number((number * 100).toPrecision(3))}%` : `${Number(number.toPrecision(4))}`;
}

/** Local time of day, as people's clocks show it. */
function timeOf(record: LogRecord): string {
  const nanoseconds = [record.timeUnixNano, record.observedTimeUnixNano].map((time) => Number(String(time ?? 0)));
  const time = nanoseconds.find((ns) => ns > 0);
  return time === undefined ? '--:--:--' : new Date(time / 1e6).toTimeString().slice(0, 8);
}

function wordsOf(attributes: KeyValue[]): Words {
  const words: Words = new Map();
  for (const { key, value } of attributes) if (value) words.set(plain(key ?? ''), textOf(value));
  return words;
}

function textOf(value: Value): string {
  const parts = value.arrayValue?.values?.slice(0, MOST_ENTRIES).map(textOf);
  // Own fields alone: the prototype has a default for each.
  const field = SCALARS.find((name) => Object.hasOwn(value, name));
  return plain(parts?.join(',') ?? String(field === undefined ? '' : value[field]));
}

/** Nothing in it can move a terminal's cursor or begin another line: control characters and direction marks are written out. */
function plain(text: string): string {
  const short = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}...` : text;
  return short.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
