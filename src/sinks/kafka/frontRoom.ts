/** Memory with room in front: what goes around a message is written there, instead of copying the message into what goes around it. */

/** What kafkajs puts before a record batch: lengths, a topic of at most 249 bytes, the client's id; more of it is copied. */
const ROOM_BYTES = 1024;

/** The first byte in use of each such memory. */
const firstUsed = new WeakMap<ArrayBufferLike, number>();

/** Not zeroed. */
export function allocateBehindRoom(bytes: number): Buffer {
  const memory = Buffer.allocUnsafeSlow(ROOM_BYTES + bytes);
  firstUsed.set(memory.buffer, ROOM_BYTES);
  return memory.subarray(ROOM_BYTES);
}

/** `head` and `content` as one, in the memory of `content`; null when it has no room in front, or something else took it. */
export function prepend(head: Buffer, content: Buffer): Buffer | null {
  const from = firstUsed.get(content.buffer);
  if (from !== content.byteOffset || head.length > from) return null;
  const start = from - head.length;
  const whole = Buffer.from(content.buffer, start, head.length + content.length);
  head.copy(whole);
  firstUsed.set(content.buffer, start);
  return whole;
}
