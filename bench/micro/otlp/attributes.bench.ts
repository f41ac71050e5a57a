/** Looking attributes up and reading their values, in spans that have been read. */
import { emptyValue, readValue } from '../../../src/otlp/attributes.ts';
import { readSpan } from '../../../src/otlp/traces.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

export function benches(): Bench[] {
  const world = createWorld({ processors: [] });
  const { reader, span } = world.parts.views;
  const places = itemsOf(world);
  readSpan(reader, places[0]!, places[1]!, span);
  const value = emptyValue();
  const looking = (name: string, text: string): Bench => {
    const key = Buffer.from(text);
    return {
      name: `otlp/attributes: ${name}`,
      unit: 'lookup',
      items: 1000,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < 1000; i++) {
          const found = span.attributes.find(reader.bytes, key);
          if (found >= 0) readValue(reader, span.attributes.valueAt(found), span.attributes.valueEnd(found), value);
        }
      },
    };
  };
  return [
    looking('the last one', 'thread.id'),
    looking('the first one', 'http.request.method'),
    looking('an integer', 'http.response.status_code'),
    looking('one that is not there', 'messaging.system'),
  ];
}
