/** `sample` on main: merging what many blocks marked, each time as traces that were not there before, while others become old. */

import { MARK_HEADER_BYTES, MARK_ROW_BYTES } from '../../../../src/processors/sample/mark.ts';
import { createObserver } from '../../../../src/processors/sample/observer.ts';
import { contextOf } from '../../../../test/worker/world.ts';
import { createPayloads } from '../../../payloads.ts';
import type { Bench } from '../../harness.ts';
import { createWorld, layOut, NOW_MS, PROCESSORS } from '../../world.ts';

const BLOCKS = 24;
/** A block of 1 MiB comes every few milliseconds at full load. */
const BLOCK_MS = 4;

export function benches(): Bench[] {
  const world = createWorld({ processors: [PROCESSORS.sample] });
  const { pool, parts, observeTask } = world;
  const out = new DataView(pool.handle.memory);
  const measurer = parts.measurers[0]!.measurer;
  let items = 0;
  let now = NOW_MS;
  const blocks = Array.from({ length: BLOCKS }, (_, i) => {
    const laid = layOut(pool, createPayloads({ workload: 'W-std', seed: i, count: 4 }));
    items += laid.items;
    observeTask.frames = laid.frames;
    observeTask.receivedMs = now;
    now += BLOCK_MS;
    world.observe();
    const at = world.scratch(1 << 18);
    return { at, end: measurer.write(out, at) };
  });
  const context = { ...contextOf(pool), traces: parts.views.traces };
  const observer = createObserver(PROCESSORS.sample.config, context, null);
  return [
    {
      name: `sample/observer: merge, ${BLOCKS} blocks in turns`,
      unit: 'span',
      items,
      run() {
        for (const { at, end } of blocks) {
          renew(out, at, end);
          observer.merge(out, at, end, now);
          now += BLOCK_MS;
        }
      },
    },
  ];
}

/** Another id for each trace: the high word is counted up. */
function renew(out: DataView, at: number, end: number): void {
  const sourcesAt = end - out.getUint32(at + MARK_HEADER_BYTES - 4, true) * 4;
  for (let row = at + MARK_HEADER_BYTES; row < sourcesAt; row += MARK_ROW_BYTES)
    out.setInt32(row + 4, out.getInt32(row + 4, true) + 1, true);
}
