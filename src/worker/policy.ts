/**
 * The policy: what main decides and workers follow, as bytes in shared memory with an epoch. Two buffers take turns, so that a worker
 * reads one while main writes the other; a worker compiles anew when the epoch differs from the one it compiled.
 *
 *   | epoch i32 | length of buffer 0 i32 | length of buffer 1 i32 | pad | buffer 0 | buffer 1 |      even epochs lie in buffer 0
 */
import type { ContractPlan } from '../contracts/plan.ts';
import { AgentError } from '../core/errors.ts';

/** A processor as workers build it. */
interface PolicyProcessor {
  type: string;
  config: unknown;
  /** What main knows its observer by: stays the same when others come and go. */
  slot: number;
}

export interface Policy {
  contracts: ContractPlan[];
  /** In their order. */
  processors: PolicyProcessor[];
}

export type PolicyHandle = SharedArrayBuffer;

const HEADER_BYTES = 16;
const BUFFER_BYTES = 4 << 20;

export function createPolicy(policy: Policy): PolicyHandle {
  const handle = new SharedArrayBuffer(HEADER_BYTES + 2 * BUFFER_BYTES);
  publishPolicy(handle, policy);
  return handle;
}

/** Main's side. Throws CONTRACT_INVALID when the contracts are larger than the buffer. */
export function publishPolicy(handle: PolicyHandle, policy: Policy): void {
  const words = new Int32Array(handle, 0, 4);
  const epoch = Atomics.load(words, 0) + 1;
  const bytes = Buffer.from(JSON.stringify(policy));
  if (bytes.length > BUFFER_BYTES) {
    throw new AgentError('CONTRACT_INVALID', `contracts take ${bytes.length} bytes, limit ${BUFFER_BYTES}: load fewer`);
  }
  new Uint8Array(handle, HEADER_BYTES + (epoch % 2) * BUFFER_BYTES, bytes.length).set(bytes);
  words[1 + (epoch % 2)] = bytes.length;
  // The epoch is stored last: a worker that sees it sees the bytes.
  Atomics.store(words, 0, epoch);
}

/** A worker's side: the policy and its epoch, or null when `epoch` is still the newest. */
export function readPolicy(handle: PolicyHandle, epoch: number): { epoch: number; policy: Policy } | null {
  const words = new Int32Array(handle, 0, 4);
  for (;;) {
    const newest = Atomics.load(words, 0);
    if (newest === epoch) return null;
    const length = words[1 + (newest % 2)] as number;
    const text = Buffer.from(new Uint8Array(handle, HEADER_BYTES + (newest % 2) * BUFFER_BYTES, length)).toString();
    // Once main is an epoch on it may be writing this buffer again: what was copied counts only while the epoch stands.
    if (Atomics.load(words, 0) !== newest) continue;
    return { epoch: newest, policy: JSON.parse(text) as Policy };
  }
}
