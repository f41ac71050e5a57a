/** The Kafka client's thread: takes batches as addresses, answers what became of them. client.ts sends them. */
import { parentPort, workerData } from 'node:worker_threads';
import { Client } from './client.ts';
import type { FromThread, ThreadSettings, ToThread } from './messages.ts';

// Main starts this file with exactly these.
const settings = workerData as ThreadSettings;
const port = parentPort;
if (port === null) throw new Error('kafka/thread.ts runs as a worker thread');

const client = new Client(settings);

port.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'send':
      void answer(message);
      return;
    case 'close':
      // With its port closed and the client's sockets gone nothing keeps the thread.
      void client.close().finally(() => port.close());
      return;
    default:
      message satisfies never;
  }
});

async function answer({ id, records }: Extract<ToThread, { kind: 'send' }>): Promise<void> {
  const answered = await client.send(records);
  port?.postMessage({ kind: 'answer', id, ...answered } satisfies FromThread);
}
