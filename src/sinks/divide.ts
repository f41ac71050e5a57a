/** Cuts what a destination refuses into smaller groups: a list of parts in halves, one part by its items. job.ts sends them again. */
import { type BlockPool, type Signal, UNIT_BYTES } from '../core/block.ts';
import type { Output, Part } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';
import { splitRequest, writeRope } from '../otlp/split.ts';

/**
 * Groups that together hold what `parts` hold, or null when it is one item, or one request that cannot be cut. Parts have to be export
 * requests; their pieces go to `out`.
 */
export function divide(out: Output, signal: Signal, parts: readonly Part[]): Part[][] | null {
  if (parts.length > 1) {
    const middle = parts.length >> 1;
    return [parts.slice(0, middle), parts.slice(middle)];
  }
  const [part] = parts;
  if (part === undefined || part.items <= 1) return null;
  const { bytes } = out.pool;
  const pieces = splitRequest(bytes, signal, part.at, part.at + part.length, (part.length + 1) >>> 1, () => '');
  if (pieces.length <= 1) return null;
  const block = out.allocate(pieces.reduce((sum, piece) => sum + piece.bytes, 0));
  let at = block;
  return pieces.map(({ content, bytes: length, items }, i) => {
    const name = part.part === 0 ? { part: i + 1 } : { division: `${part.division ?? ''}.${i + 1}` };
    const piece: Part = { ...part, ...name, at, length, items };
    at = writeRope(bytes, at, content);
    return [piece];
  });
}

/** Memory on main for results that are made there. `onBlock` is told how to give back each block. */
export function createOutput(pool: BlockPool, onBlock: (release: () => void) => void): Output {
  let next = 0;
  let end = 0;
  return {
    pool,
    allocate(bytes) {
      if (next + bytes > end) {
        const block = pool.allocate(Math.max(UNIT_BYTES, bytes));
        if (block < 0) {
          const message = 'no memory for what a sink makes again: raise agent.memory_limit';
          throw new AgentError('OVERLOADED', message, { retryable: true });
        }
        onBlock(() => pool.release(block));
        next = block;
        end = block + pool.capacity(block);
      }
      const at = next;
      next = Math.ceil((at + bytes) / 8) * 8;
      return at;
    },
  };
}
