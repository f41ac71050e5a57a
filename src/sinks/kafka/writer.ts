/** The seam to the Kafka client: batches go to its thread as addresses, answers come back. Starts the thread again when it died. */
import { Worker } from 'node:worker_threads';
import type { Signal } from '../../core/block.ts';
import type { Batch, SinkContext, WriteResult, Writer } from '../../core/component.ts';
import { parseDurationMs } from '../../core/units.ts';
import type { KafkaConfig } from './index.ts';
import type { FromThread, ThreadSettings, ToThread, WireRecord } from './messages.ts';

/** How topic names call the signals, as the Collector does. */
const SIGNAL_WORDS: Record<Signal, string> = { traces: 'spans', metrics: 'metrics', logs: 'logs' };
const DEFAULT_TIMEOUT_MS = 30_000;
/** The thread gives up before the deliverer does, and knows more words for it. */
const SHARE_OF_TIMEOUT = 0.9;

/** The compiled package has .js beside this file, a checkout has .ts. */
const THREAD = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url);

export function createKafkaWriter(config: KafkaConfig, context: SinkContext, thread: URL = THREAD): Writer {
  const deadlineMs = (parseDurationMs(config.timeout) ?? DEFAULT_TIMEOUT_MS) * SHARE_OF_TIMEOUT;
  const client = new ClientThread(thread, { pool: context.pool.handle, config, deadlineMs });
  return {
    write(batch) {
      const { stream, signal } = batch.row;
      const topic = config.subscribe[stream]?.replaceAll('{signal}', SIGNAL_WORDS[signal]) ?? '';
      return client.send(topic, recordsOf(batch, context.agent));
    },
    close: (deadlineMs) => client.close(deadlineMs - context.now()),
  };
}

function recordsOf({ row, parts }: Batch, agent: string): WireRecord[] {
  return parts.map(({ at, length, key, sequence, part }) => ({
    at,
    length,
    key,
    headers: {
      'plumbline.agent': agent,
      'plumbline.stream': row.stream,
      'plumbline.signal': row.signal,
      'plumbline.sequence': part === 0 ? `${sequence}` : `${sequence}/${part}`,
    },
  }));
}

/** The thread, started with the first batch and again with the next one after it died. */
class ClientThread {
  readonly #file: URL;
  readonly #settings: ThreadSettings;
  readonly #waiting = new Map<number, (result: WriteResult) => void>();
  #worker: Worker | null = null;
  #nextId = 0;

  constructor(file: URL, settings: ThreadSettings) {
    this.#file = file;
    this.#settings = settings;
  }

  send(topic: string, records: WireRecord[]): Promise<WriteResult> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ kind: 'send', id, topic, records } satisfies ToThread);
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
    worker.on('message', ({ id, result }: FromThread) => {
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
    worker.on('error', (error: unknown) => {
      reason = `the Kafka client thread died: ${error instanceof Error ? error.message : String(error)}`;
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = null;
      for (const resolve of this.#waiting.values()) resolve({ kind: 'retry', error: reason });
      this.#waiting.clear();
    });
    // The agent's sockets keep the process alive, not this.
    worker.unref();
    return worker;
  }
}
