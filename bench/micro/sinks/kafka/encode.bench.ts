/** The Kafka sink's pure half: frames as they lie, and requests cut by service. */
import { createEncoder } from '../../../../src/sinks/kafka/encode.ts';
import type { Bench } from '../../harness.ts';
import { createWorld } from '../../world.ts';

export function benches(): Bench[] {
  const world = createWorld();
  const topics = { subscribe: { raw: 'otlp_{signal}' }, topic_values: {} };
  const whole = createEncoder({ key: 'none', max_message_bytes: 1_000_000, ...topics });
  const keyed = createEncoder({ key: 'service', max_message_bytes: 1_000_000, ...topics });
  const sliced = createEncoder({ key: 'trace_id', max_message_bytes: 1_000_000, ...topics });
  const { output } = world.parts;
  return [
    {
      name: 'kafka/encode: direct',
      unit: 'frame',
      items: world.frames.length,
      run() {
        for (let i = 0; i < world.frames.length; i++) whole.direct(world.pool, world.frames[i]!);
      },
    },
    {
      name: 'kafka/encode: cut by service',
      unit: 'span',
      items: world.items,
      run() {
        keyed.encode(world.pool, world.frames, 'raw', 'traces', output);
        output.discard();
      },
    },
    {
      name: 'kafka/encode: sliced by trace id',
      unit: 'span',
      items: world.items,
      run() {
        sliced.encode(world.pool, world.frames, 'raw', 'traces', output);
        output.discard();
      },
    },
  ];
}
