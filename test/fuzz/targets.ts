/** What is fuzzed in one thread: the whole of observe, on bodies as protobuf and as JSON. An input is refused or taken; anything else is a find. */
import assert from 'node:assert/strict';
import { Encoding, FRAME_HEADER_BYTES, OWNER_MAIN, payloadLength } from '../../src/core/block.ts';
import { observe } from '../../src/worker/observe.ts';
import { createWorld, liveFrames, NOW_MS, WORKER } from '../worker/world.ts';
import type { Input } from './mutate.ts';

/** Longer than that on one input is a find. */
export const MOST_STALL_MS = 50;

/** Most of the items are smaller, so that some are cut out of between others. */
const MOST_ITEM_BYTES = 512;

export type Outcome = 'taken' | 'refused';
export type Target = (input: Input) => Outcome;

/** Every processor that reads or rewrites items, so that their walks are fuzzed, too. */
const PROCESSORS = [
  {
    type: 'redact',
    attributes: [
      { match: 'password*', action: 'mask' },
      { match: 'user.id', action: 'remove' },
    ],
  },
  { type: 'enrich', resource: { 'k8s.node.name': 'node-1' } },
  { type: 'summarize' },
  { type: 'detect' },
  { type: 'sample', base: '10%' },
];

export function createTarget(encoding: number): Target {
  const world = createWorld({
    processors: PROCESSORS,
    maxBodyBytes: 1 << 20,
    maxItemBytes: MOST_ITEM_BYTES,
    units: 64,
  });
  const { pool, parts, walk } = world;
  return ({ signal, bytes }) => {
    forget(world);
    const { frames, block } = world.layOut([{ signal, bytes, encoding }]);
    const result = observe(parts, walk, { kind: 'observe', frames, receivedMs: NOW_MS, measureOnly: false });
    const [refused] = result.refused;
    if (refused !== undefined)
      assert.ok(['BODY_UNDECODABLE', 'BODY_TOO_LARGE'].includes(refused.code), refused.message);
    else walkAgain(world, liveFrames(world, frames, result.moved));
    for (const address of new Set([block, ...result.moved.map((region) => region.block)])) pool.discard(address);
    if (result.measured !== null) pool.discard(result.measured.block);
    assert.equal(pool.unitsInUse, 0, 'blocks were not given back');
    return refused === undefined ? 'taken' : 'refused';
  };
}

/** What the last input left behind when it was a find: nothing of it may be found again. */
function forget({ pool, parts, walk }: ReturnType<typeof createWorld>): void {
  parts.output.take();
  parts.measureOutput.take();
  walk.tainted = false;
  pool.reclaim(OWNER_MAIN);
  pool.reclaim(WORKER);
}

/** What was taken is what a restart would read: it has to pass again, unchanged, and be selected from. */
function walkAgain(world: ReturnType<typeof createWorld>, live: number[]): void {
  assert.equal(live.length, 1, 'one request is one frame');
  const [at = 0] = live;
  const { pool, parts, walk } = world;
  const payload = () =>
    Buffer.from(pool.bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + payloadLength(pool, at)));
  const before = payload();
  const again = observe(parts, walk, { kind: 'observe', frames: live, receivedMs: NOW_MS, measureOnly: true });
  assert.deepEqual([again.refused, again.moved], [[], []], 'what was taken is refused when it is read again');
  if (again.measured !== null) pool.discard(again.measured.block);
  const selected = world.select(live);
  pool.discard(selected.block);
  assert.ok(payload().equals(before), 'what was taken has changed');
}

export const TARGETS: Record<'wire' | 'json', () => Target> = {
  wire: () => createTarget(Encoding.protobuf),
  json: () => createTarget(Encoding.json),
};
