/** What an agent that kept an item has written to it, as far as counting goes: the rest is for whoever writes it. */
import { type AttributeTable, isShortString } from './attributes.ts';
import { type Reader, sameBytes } from './protobuf.ts';

export const KEPT = Buffer.from('plumbline.kept');
const LOOK_BACK = Buffer.from('look_back');
/** What keys begin with that an agent writes: "plum" and "samp" read as little-endian words. */
const PLUM = 0x6d_75_6c_70;
const SAMP = 0x70_6d_61_73;

/** Whether an agent has kept the item. What it writes stands behind all others, so the last key alone is looked at first: every span is asked. */
export function isMarked(reader: Reader, attributes: AttributeTable): boolean {
  const last = attributes.count - 1;
  if (last < 0 || attributes.keyLength(last) < KEPT.length) return false;
  const word = reader.view.getInt32(attributes.keyAt(last), true);
  return (word === PLUM || word === SAMP) && attributes.find(reader.bytes, KEPT) >= 0;
}

/** Whether a look-back has added an item that is marked: others of its time stand for it, so it counts 0. */
export function isLookBack(bytes: Uint8Array, attributes: AttributeTable): boolean {
  for (let i = attributes.count - 1; i >= 0; i--) {
    if (attributes.keyLength(i) !== KEPT.length || !sameBytes(bytes, attributes.keyAt(i), KEPT, 0, KEPT.length))
      continue;
    const at = attributes.valueAt(i);
    const end = attributes.valueEnd(i);
    if (end - at !== LOOK_BACK.length + 2 || !isShortString(bytes, at, end)) continue;
    if (sameBytes(bytes, at + 2, LOOK_BACK, 0, LOOK_BACK.length)) return true;
  }
  return false;
}
