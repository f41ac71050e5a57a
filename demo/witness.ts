/** What is really seen at the sinks: events, kept spans and summaries, from Kafka by a consumer of its own, or from the storage files. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Signal } from '../src/core/block.ts';
import { requestType } from '../src/otlp/schema.ts';
import { openReader } from '../test/support/kafka/reader.ts';

export interface SeenEvent {
  name: string;
  service: string;
  signal: string;
  state: string;
  body: string;
  /** The second it was judged for, and when it was seen at the sink; Unix milliseconds. */
  judgedMs: number;
  seenMs: number;
}

export interface Witness {
  events: SeenEvent[];
  /** Kept spans by reason. */
  kept: Map<string, number>;
  summaries: number;
  stop(): Promise<void>;
}

const POLL_MS = 20;

/** Follows the topics of a broker, or, without one, the storage directory. */
export async function watch(
  storage: string,
  broker: string | null,
  onEvent: (event: SeenEvent) => void,
): Promise<Witness> {
  const witness: Witness = { events: [], kept: new Map(), summaries: 0, stop: async () => {} };
  const note = (signal: Signal, isEvent: boolean, bytes: Uint8Array) => {
    const type = requestType(signal);
    const request = type.toObject(type.decode(bytes), { longs: String }) as Requests;
    for (const event of isEvent ? eventsOf(request) : []) {
      witness.events.push(event);
      onEvent(event);
    }
    for (const reason of reasonsOf(request)) witness.kept.set(reason, (witness.kept.get(reason) ?? 0) + 1);
    if (signal === 'metrics') witness.summaries++;
  };
  witness.stop = broker === null ? followFiles(storage, note) : await followTopics(broker, note);
  return witness;
}

type Note = (signal: Signal, isEvent: boolean, bytes: Uint8Array) => void;

async function followTopics(broker: string, note: Note): Promise<() => Promise<void>> {
  const reader = await openReader(broker, ['otlp_spans', 'plumbline_summaries', 'plumbline_events']);
  let read = 0;
  const timer = setInterval(() => {
    for (; read < reader.records.length; read++) {
      const record = reader.records[read];
      if (record === undefined) return;
      const signal =
        record.topic === 'otlp_spans' ? 'traces' : record.topic === 'plumbline_events' ? 'logs' : 'metrics';
      note(signal, record.topic === 'plumbline_events', record.value);
    }
  }, POLL_MS);
  return async () => {
    clearInterval(timer);
    await reader.close();
  };
}

function followFiles(storage: string, note: Note): () => Promise<void> {
  const seen = new Set<string>();
  const streams: [string, Signal][] = [
    ['sampled', 'traces'],
    ['summaries', 'metrics'],
    ['events', 'logs'],
  ];
  const timer = setInterval(() => {
    for (const [stream, signal] of streams) {
      const directory = join(storage, stream, signal);
      const names = existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }) : [];
      for (const name of names.filter((one) => one.endsWith('.binpb') && !seen.has(join(directory, one)))) {
        seen.add(join(directory, name));
        for (const request of requestsOf(readFileSync(join(directory, name))))
          note(signal, stream === 'events', request);
      }
    }
  }, POLL_MS);
  return async () => clearInterval(timer);
}

/** A storage file is 4 bytes of big-endian length and one export request, repeated. */
export function* requestsOf(file: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32BE(at);
    yield file.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
}

interface Attribute {
  key: string;
  value?: { stringValue?: string };
}
interface Requests {
  resourceLogs?: {
    scopeLogs?: {
      logRecords?: {
        eventName?: string;
        timeUnixNano?: string;
        body?: { stringValue?: string };
        attributes?: Attribute[];
      }[];
    }[];
  }[];
  resourceSpans?: { scopeSpans?: { spans?: { attributes?: Attribute[] }[] }[] }[];
}

function eventsOf({ resourceLogs }: Requests): SeenEvent[] {
  const records = (resourceLogs ?? []).flatMap(({ scopeLogs }) =>
    (scopeLogs ?? []).flatMap(({ logRecords }) => logRecords ?? []),
  );
  return records.map(({ eventName, timeUnixNano, body, attributes }) => {
    const text = (key: string) => attributes?.find((one) => one.key === key)?.value?.stringValue ?? '';
    return {
      name: eventName ?? '',
      service: text('contract.service'),
      signal: text('signal.name'),
      state: text('contract.state'),
      body: body?.stringValue ?? '',
      judgedMs: Number(BigInt(timeUnixNano ?? '0') / 1_000_000n),
      seenMs: Date.now(),
    };
  });
}

function reasonsOf({ resourceSpans }: Requests): string[] {
  const spans = (resourceSpans ?? []).flatMap(({ scopeSpans }) =>
    (scopeSpans ?? []).flatMap((scope) => scope.spans ?? []),
  );
  return spans.flatMap(
    ({ attributes }) => attributes?.find(({ key }) => key === 'plumbline.kept')?.value?.stringValue ?? [],
  );
}
