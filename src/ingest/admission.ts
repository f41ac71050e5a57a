/** Admission: one byte budget for all requests, reserved before a body is read and given back after its reply. */

export interface Admission {
  /** Reserves bytes; false when they do not fit, and then nothing was reserved. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** Bytes reserved now. */
  readonly used: number;
  readonly limit: number;
  /** Seconds a refused client should wait, from the rate at which bytes are given back; 1 to 30. */
  retryAfterS(): number;
}

const RATE_SPAN_MS = 1000;

export function createAdmission(limitBytes: number, now: () => number): Admission {
  let used = 0;
  let released = 0;
  let spanStartMs = now();
  /** Bytes per second, smoothed. */
  let rate = 0;

  function follow(): void {
    const elapsed = now() - spanStartMs;
    if (elapsed < RATE_SPAN_MS) return;
    rate = rate * 0.5 + ((released * 1000) / elapsed) * 0.5;
    released = 0;
    spanStartMs = now();
  }

  return {
    reserve(bytes) {
      // One request is always let in: else a body of more than the whole budget could never be.
      if (used > 0 && used + bytes > limitBytes) return false;
      used += bytes;
      return true;
    },
    release(bytes) {
      used -= bytes;
      released += bytes;
      follow();
    },
    get used() {
      return used;
    },
    limit: limitBytes,
    retryAfterS: () => (rate <= 0 ? 1 : Math.min(30, Math.max(1, Math.ceil(used / rate)))),
  };
}
