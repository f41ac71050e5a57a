// HOT: once per resource. Bench: bench/micro/contracts/measure.bench.ts
/** Which contracts a resource falls under: by the bytes of its service name first, then by what else they ask of it. */
import { emptyValue, readValue, type Value } from '../otlp/attributes.ts';
import { type Reader, sameBytes } from '../otlp/protobuf.ts';
import { type Envelope, hashOfService } from '../otlp/resource.ts';
import type { Whose } from './plan.ts';

/** A resource attribute under any of its names, and the text it must be. */
interface Wanted {
  keys: Buffer[];
  text: Buffer;
}

/** What contracts have in common that are about the same resources. Signed, 32 bits. */
export function scopeOf({ service, namespace, environment, serviceVersion }: Whose): number {
  return hashOfService(JSON.stringify([service, namespace, environment, serviceVersion])) | 0;
}

interface Entry<Of> {
  name: Buffer;
  wanted: Wanted[];
  contract: Of;
}

const ENVIRONMENT = ['deployment.environment.name', 'deployment.environment'];

export class ServiceTable<Of> {
  /** By the hash of the name; services that share one are told apart by their bytes. */
  readonly #byName = new Map<number, Entry<Of>[]>();
  readonly #reader: Reader;
  readonly #value: Value = emptyValue();

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  add(plan: Whose, contract: Of): void {
    const name = Buffer.from(plan.service);
    const hash = hashOfService(plan.service);
    const sharing = this.#byName.get(hash) ?? [];
    sharing.push({ name, wanted: wantedBy(plan), contract });
    this.#byName.set(hash, sharing);
  }

  /** Puts the contracts of the resource into `found`; returns how many. */
  find(envelope: Envelope, found: Of[]): number {
    const sharing = this.#byName.get(envelope.serviceHash);
    if (sharing === undefined) return 0;
    let count = 0;
    for (let i = 0; i < sharing.length; i++) {
      const { name, wanted, contract } = sharing[i]!;
      if (name.length !== envelope.serviceLength) continue;
      if (!sameBytes(envelope.bytes, envelope.serviceAt, name, 0, name.length)) continue;
      if (this.#hasAll(envelope, wanted)) found[count++] = contract;
    }
    return count;
  }

  #hasAll(envelope: Envelope, wanted: readonly Wanted[]): boolean {
    for (let i = 0; i < wanted.length; i++) {
      const { keys, text } = wanted[i]!;
      let at = -1;
      for (let k = 0; k < keys.length && at < 0; k++) at = envelope.resource.find(envelope.bytes, keys[k]!);
      if (at < 0) return false;
      readValue(this.#reader, envelope.resource.valueAt(at), envelope.resource.valueEnd(at), this.#value);
      const { kind, at: from, end } = this.#value;
      if (kind !== 'string' || end - from !== text.length) return false;
      if (!sameBytes(envelope.bytes, from, text, 0, text.length)) return false;
    }
    return true;
  }
}

function wantedBy({ namespace, environment, serviceVersion }: Whose): Wanted[] {
  const pairs: [string[], string | null][] = [
    [['service.namespace'], namespace],
    [ENVIRONMENT, environment],
    [['service.version'], serviceVersion],
  ];
  return pairs.flatMap(([keys, text]) =>
    text === null ? [] : [{ keys: keys.map((key) => Buffer.from(key)), text: Buffer.from(text) }],
  );
}
