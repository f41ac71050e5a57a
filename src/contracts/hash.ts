/** The hash that names a signal's definition in what workers measure. */

/** Two FNV-1a over UTF-16 units; 53 bits. */
export function hashText(text: string): number {
  let low = 0x811c_9dc5;
  let high = 0x9747_b28c;
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x0100_0193);
    high = Math.imul(high ^ text.charCodeAt(i), 0x85eb_ca6b);
  }
  return (high >>> 11) * 0x1_0000_0000 + (low >>> 0);
}
