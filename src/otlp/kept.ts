/** What an agent that kept an item has written to it, as far as counting goes: the rest is for whoever writes it. */
import { type AttributeTable, isShortString } from './attributes.ts';
import { sameBytes } from './protobuf.ts';

export const KEPT = Buffer.from('plumbline.kept');
const LOOK_BACK = Buffer.from('look_back');

/** Whether a look-back has added the item: others of its time stand for it, so it counts 0. Wherever the mark stands, as others may add to it. */
export function isLookBack(bytes: Uint8Array, attributes: AttributeTable): boolean {
  if (((attributes.lengths >>> KEPT.length) & 1) === 0) return false;
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
