/** The seam to the Kafka client: batches go to its thread as addresses, answers come back. Starts the thread again when it died. */
import { Worker } from 'node:worker_threads';
import type { Part, Row, SinkContext, Writer } from '../../core/component.ts';
import { parseTimerMs } from '../../core/units.ts';
import { sequenceText } from '../parts.ts';
import type { Answer } from './client.ts';
import type { KafkaConfig } from './config.ts';
import type { FromThread, ThreadSettings, ToThread, WireRecord } from './messages.ts';
import { fixedTopic } from './topics.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
/** The thread gives up before the deliverer does, and knows more words for it. */
const SHARE_OF_TIMEOUT = 0.9;

/** The compiled package has .js beside this file, a checkout has .ts. */
const THREAD = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url);

export function createKafkaWriter(config: KafkaConfig, context: SinkContext, thread: URL = THREAD): Writer {
  const deadlineMs = (parseTimerMs(config.timeout) ?? DEFAULT_TIMEOUT_MS) * SHARE_OF_TIMEOUT;
  const client = new ClientThread(thread, { pool: context.pool.handle, config, deadlineMs });
  // A batch that comes again has the same parts; what of it is safe does not go twice.
  const safe = new WeakSet<Part>();
  return {
    async write(batch) {
      const left = batch.parts.filter((part) => !safe.has(part));
      if (left.length === 0) return { kind: 'delivered' };
      const topic = fixedTopic(config, batch.row.stream, batch.row.signal) ?? '';
      const { result, delivered } = await client.send(
        left.map((part) => recordOf(part, topic, batch.row, context.agent)),
      );
      for (const i of delivered) safe.add(left[i] as Part);
      if (result.kind !== 'refused') return result;
      // The thread counts the parts that were sent to it, the deliverer those of the batch.
      return { ...result, parts: result.parts.map((i) => batch.parts.indexOf(left[i] as Part)) };
    },
    close: (deadlineMs) => client.close(deadlineMs - context.now()),
  };
}

function recordOf(part: Part, topic: string, row: Row, agent: string): WireRecord {
  const { at, length, items, key } = part;
  return {
    topic: part.destination ?? topic,
    at,
    length,
    items,
    key,
    headers: {
      'plumbline.agent': agent,
      'plumbline.stream': row.stream,
      'plumbline.signal': row.signal,
      'plumbline.sequence': sequenceText(part),
    },
  };
}

/** The thread, started with the first batch and again with the next one after it died. */
class ClientThread {
  readonly #file: URL;
  readonly #settings: ThreadSettings;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #worker: Worker | null = null;
  #nextId = 0;

  constructor(file: URL, settings: ThreadSettings) {
    this.#file = file;
    this.#settings = settings;
  }

  send(records: WireRecord[]): Promise<Answer> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ kind: 'send', id, records } satisfies ToThread);
    });
  }

  async close(withinMs: number): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.postMessage({ kind: 'close' } satisfies ToThread);
    const timer = setTimeout(() => void worker.terminate(), Math.max(0, withinMs));
    await exited;
    clearTimeout(timer);
  }

  #start(): Worker {
    const worker = new Worker(this.#file, { workerData: this.#settings, name: 'kafka' });
    let reason = 'the Kafka client thread ended';
    worker.on('message', ({ id, result, delivered }: FromThread) => {
      this.#waiting.get(id)?.({ result, delivered });
      this.#waiting.delete(id);
    });
    worker.on('error', (error: unknown) => {
      reason = `the Kafka client thread died: ${error instanceof Error ? error.message : String(error)}`;
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = null;
      const answer: Answer = { result: { kind: 'retry', error: reason }, delivered: [] };
      for (const resolve of this.#waiting.values()) resolve(answer);
      this.#waiting.clear();
    });
    // The agent's sockets keep the process alive, not this.
    worker.unref();
    return worker;
  }
}
