/** Writes whole lines to a stream and waits until it took them; a stream that closed is no failure, as nobody reads it any more. */
import type { Writable } from 'node:stream';
import type { SinkContext, Writer } from '../../core/component.ts';

export function createConsoleWriter(out: Writable, context: SinkContext): Writer {
  let isOpen = true;
  const onGone = (error?: Error) => {
    if (isOpen) context.log.warn({ sink: context.name, error: error?.message ?? 'closed' }, 'the console is gone');
    isOpen = false;
  };
  // Without a listener EPIPE would end the process.
  out.on('error', onGone);
  return {
    write({ parts }) {
      const { bytes } = context.pool;
      // One write for all: another writer of the same stream cannot come between. Text, as streams refuse shared memory.
      const text = parts.map(({ at, length }) => bytes.toString('utf8', at, at + length)).join('');
      return new Promise((resolve) => {
        if (!isOpen || text === '') return resolve({ kind: 'delivered' });
        out.write(text, (error) => {
          if (error) onGone(error);
          resolve({ kind: 'delivered' });
        });
      });
    },
    async close() {
      // The listener stays: an error of what was written last may still come.
    },
  };
}
