/** Re-slices a traces or logs request: for each key of its items one request, in the order keys are first seen, cut by size like any other. */
import type { Signal } from '../../core/block.ts';
import {
  bytesOf,
  createSplitter,
  LENGTH_BYTES,
  pack,
  type RequestPiece,
  type Rope,
  type Unit,
  wrap,
} from '../../otlp/split.ts';

const RESOURCE_TAG = 10;
const SCOPE_TAG = 18;
const PREFIX_BYTES = 1 + LENGTH_BYTES;

/** A message around items: what each piece of it repeats. */
interface Holder {
  fixed: Rope[];
}

interface Leaf {
  entry: Holder;
  scope: Holder;
  unit: Unit;
}

/**
 * `keyOf` is asked about the content of each span or log record, with what `labelOf` said of its entry. Linear in the items, however many
 * keys there are.
 */
export function sliceRequest(
  bytes: Uint8Array,
  signal: Signal,
  at: number,
  end: number,
  most: number,
  labelOf: (from: number, to: number) => string,
  keyOf: (label: string, from: number, to: number) => string,
): RequestPiece[] {
  const { walk } = createSplitter(bytes, signal);
  const leaves: (Leaf & { key: string })[] = [];
  const fixed = walk(0, at, end, (_entryAt, entryFrom, entryTo) => {
    const entry: Holder = { fixed: [] };
    const label = labelOf(entryFrom, entryTo);
    entry.fixed = walk(1, entryFrom, entryTo, (_scopeAt, scopeFrom, scopeTo) => {
      const scope: Holder = { fixed: [] };
      scope.fixed = walk(2, scopeFrom, scopeTo, (itemAt, from, to) => {
        const unit = { rope: { from: itemAt, to }, bytes: to - itemAt, items: 1 };
        leaves.push({ entry, scope, unit, key: keyOf(label, from, to) });
      });
    });
  });
  const groups = Map.groupBy(leaves, ({ key }) => key);
  if (groups.size === 0 || (groups.size === 1 && end - at <= most)) {
    const key = leaves[0]?.key ?? '';
    return [{ content: [{ from: at, to: end }], bytes: end - at, items: leaves.length, key, isWhole: true }];
  }
  return [...groups].flatMap(([key, group]) =>
    pack(fixed, entriesOf(group, most - bytesOf(fixed)), most).map((piece) => ({ ...piece, key, isWhole: false })),
  );
}

function entriesOf(leaves: readonly Leaf[], most: number): Unit[] {
  return [...Map.groupBy(leaves, ({ entry }) => entry)].flatMap(([entry, run]) => {
    const room = most - PREFIX_BYTES;
    const scopes = scopesOf(run, room - bytesOf(entry.fixed));
    return pack(entry.fixed, scopes, room).map((piece) => wrap(RESOURCE_TAG, piece));
  });
}

function scopesOf(leaves: readonly Leaf[], most: number): Unit[] {
  return [...Map.groupBy(leaves, ({ scope }) => scope)].flatMap(([scope, run]) => {
    const items = run.map(({ unit }) => unit);
    return pack(scope.fixed, items, most - PREFIX_BYTES).map((piece) => wrap(SCOPE_TAG, piece));
  });
}
