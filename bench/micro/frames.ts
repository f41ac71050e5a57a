/** Benches over plain functions of otlp/: where the items of the frames lie, found once before the clock starts. */
import { FRAME_HEADER_BYTES, payloadLength } from '../../src/core/block.ts';
import { type ItemVisitor, walkItems } from '../../src/otlp/resource.ts';
import type { World } from './world.ts';

/** Addresses of every item's content: start and end, one after the other. */
export function itemsOf(world: World): Int32Array {
  const places: number[] = [];
  visitItems(world, {
    enterResource: () => undefined,
    item: (_reader, at, end) => {
      places.push(at, end);
    },
  });
  return Int32Array.from(places);
}

/** One walk over all frames of the world. */
export function visitItems(world: World, visitor: ItemVisitor): void {
  const { reader, envelope } = world.parts.views;
  for (let i = 0; i < world.frames.length; i++) {
    const from = world.frames[i]! + FRAME_HEADER_BYTES;
    walkItems(reader, from, from + payloadLength(world.pool, world.frames[i]!), envelope, visitor);
  }
}

/** What stands behind the measurers' rows, as main merges it: the address of each processor's section. */
export function payloadOf(world: World, i: number): [from: number, end: number] {
  const from = world.frames[i]! + FRAME_HEADER_BYTES;
  return [from, from + payloadLength(world.pool, world.frames[i]!)];
}
