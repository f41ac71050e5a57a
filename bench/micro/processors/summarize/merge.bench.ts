/** `summarize` on main: merging what one block measured. */
import { pino } from 'pino';
import { createTelemetry } from '../../../../src/core/telemetry.ts';
import { createObserver } from '../../../../src/processors/summarize/merge.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, NOW_MS, PROCESSORS } from '../../world.ts';

export function benches(): Bench[] {
  return (['W-std', 'W-small'] as const).map((workload) => {
    const world = createWorld({ processors: [PROCESSORS.summarize], workload });
    const measurer = world.parts.measurers[0]!.measurer;
    world.observe();
    const at = world.scratch(1 << 20);
    const out = new DataView(world.pool.handle.memory);
    const end = measurer.write(out, at);
    const context = {
      pool: world.pool,
      agent: 'bench',
      contracts: [],
      traces: null,
      flagged: new Map(),
      operations: { flushed: [] },
      breaches: new Map(),
      onBreach: () => undefined,
      contractValues: () => [],
      telemetry: createTelemetry(),
      log: pino({ level: 'silent' }),
    };
    const observer = createObserver(10_000, 2000, context, null);
    return {
      name: `summarize/merge: ${workload}`,
      unit: 'span',
      items: world.items,
      run: () => observer.merge(out, at, end, NOW_MS),
    };
  });
}
