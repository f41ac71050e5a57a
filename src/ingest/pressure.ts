/** Memory pressure: the process's resident bytes against the limit of its cgroup, read again at most every quarter of a second. */

/** Above this share of the limit nothing more is admitted: the kernel kills at 1. */
const MOST_SHARE = 0.9;
const EVERY_MS = 250;

/** Answers why nothing can be admitted, or null. `limitBytes` null: nobody limits us. */
export function createPressure(
  limitBytes: number | null,
  residentBytes: () => number,
  now: () => number,
): () => string | null {
  if (limitBytes === null) return () => null;
  const most = Math.floor(limitBytes * MOST_SHARE);
  let readMs = Number.NEGATIVE_INFINITY;
  let reason: string | null = null;
  return () => {
    if (now() - readMs < EVERY_MS) return reason;
    readMs = now();
    const resident = residentBytes();
    reason =
      resident <= most
        ? null
        : `${resident} bytes resident of ${limitBytes} that the container may have: raise its limit or lower agent.memory_limit`;
    return reason;
  };
}
