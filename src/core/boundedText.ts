// HOT: once per span. Bench: bench/micro/processors/summarize/measure.bench.ts
/** How much is kept of a text that a service has sent, where the agent tells it itself: texts come in any size, and what is told has to fit a segment. */

/** docs/output.md says it. */
export const MOST_TEXT_BYTES = 256;
/** Of UTF-8: the first says how many follow, and those are 10xxxxxx. */
const MOST_CHARACTER_BYTES = 4;

/** How many of the `length` bytes of UTF-8 from `at` on are kept: whole characters. */
export function cutLength(bytes: Uint8Array, at: number, length: number): number {
  if (length <= MOST_TEXT_BYTES) return length;
  let cut = MOST_TEXT_BYTES;
  while (cut > MOST_TEXT_BYTES - MOST_CHARACTER_BYTES && (bytes[at + cut]! & 0xc0) === 0x80) cut--;
  return cut;
}

export function cutText(text: string): string {
  if (Buffer.byteLength(text) <= MOST_TEXT_BYTES) return text;
  // Every unit of a string has a byte at least.
  const bytes = Buffer.from(text.slice(0, MOST_TEXT_BYTES));
  return bytes.toString('utf8', 0, cutLength(bytes, 0, bytes.length));
}
