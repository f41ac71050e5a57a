/** The items of certain services, told by their resources as contracts name them. */
import type { Whose } from '../contracts/plan.ts';
import { ServiceTable } from '../contracts/service.ts';
import { type BlockPool, Field, readU64 } from '../core/block.ts';
import { Reader } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import type { SelectTask } from './tasks.ts';

export class ServiceItems {
  readonly #table: ServiceTable<true>;
  readonly #found: true[] = [];
  #isMeant = false;
  /** The resource it was asked about last: others may have loaded the envelope. */
  #resourceAt = -1;

  constructor(whose: readonly Whose[], bytes: Buffer) {
    this.#table = new ServiceTable(new Reader(bytes));
    for (const one of whose) this.#table.add(one, true);
  }

  begin(): void {
    this.#resourceAt = -1;
  }

  has(envelope: Envelope): boolean {
    envelope.load();
    if (envelope.resourceAt === this.#resourceAt) return this.#isMeant;
    this.#resourceAt = envelope.resourceAt;
    this.#isMeant = this.#table.find(envelope, this.#found) > 0;
    return this.#isMeant;
  }
}

/** Whose items of this frame a look-back has decided already. */
export function decidedAt(pool: BlockPool, task: SelectTask, at: number): ServiceItems | null {
  if (task.decided.length === 0) return null;
  const sequence = readU64(pool, at + Field.sequence);
  const found = task.decided.filter(({ from, to }) => sequence >= from && sequence < to);
  return found.length === 0
    ? null
    : new ServiceItems(
        found.map(({ whose }) => whose),
        pool.bytes,
      );
}
