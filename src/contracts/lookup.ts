// HOT: once per item and condition. Bench: bench/micro/contracts/match.bench.ts
/** Where the value of a key lies that conditions and signals ask for: an intrinsic, or an attribute of the item, its scope, its resource. */
import { type AttributeTable, emptyValue, readValue, type Value } from '../otlp/attributes.ts';
import type { Reader } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import { INTRINSICS_OF } from './contract.ts';
import { Found, Keys } from './keys.ts';

/** What conditions are asked about. `attributes` are the item's own. */
export interface Item {
  attributes: AttributeTable;
  /** The number of an intrinsic key that is an enum; -1 for one that the item has not. */
  enumOf(key: EnumKey): number;
  /** Fills `value` with an intrinsic key's value. */
  intrinsic(key: Intrinsic, value: Value): void;
}

export type EnumKey = 'span.kind' | 'status';
export type Intrinsic = EnumKey | 'span.name' | 'severity' | 'body';

/**
 * What many conditions see of one item and its resource: attributes are looked for once for all of them, and each value is read once.
 * `item.begin` for each item, after `resource.begin` for each resource.
 */
export class Sight {
  readonly keys = new Keys();
  readonly lookups = new Map<string, Lookup>();
  readonly item = new Found();
  readonly resource = new Found();
}

/** Conditions on one key share its lookup when they share their sight. */
export function lookupOf(written: string, sight: Sight | null): Lookup {
  const known = sight?.lookups.get(written);
  if (known !== undefined) return known;
  const made = new Lookup(written, sight);
  sight?.lookups.set(written, made);
  return made;
}

/** Finds what a key means. */
export class Lookup {
  /** Null for an attribute. */
  readonly intrinsic: Intrinsic | null;
  readonly #ofItem: boolean;
  readonly #ofScope: boolean;
  readonly #ofResource: boolean;
  readonly #key: Buffer;
  readonly #sight: Sight | null;
  readonly #number: number;
  readonly #value = emptyValue();
  /** The item that `#value` is of, as its sight numbers them. */
  #round = -1;
  /** Where the value ends that `locate` has found. */
  end = -1;

  constructor(written: string, sight: Sight | null) {
    this.intrinsic = INTRINSICS_OF.has(written) ? (written as Intrinsic) : null;
    const [prefix = ''] = /^(attr|resource)\./.exec(written) ?? [];
    this.#ofItem = prefix !== 'resource.';
    this.#ofScope = prefix === '';
    this.#ofResource = prefix !== 'attr.';
    this.#key = Buffer.from(written.slice(prefix.length));
    this.#sight = sight;
    this.#number = sight === null || this.intrinsic !== null ? -1 : sight.keys.add(this.#key);
  }

  /** Of an attribute: where its AnyValue begins (it ends at `end`); -1 when there is none, or the attribute has no value. */
  locate(item: Item, envelope: Envelope, bytes: Uint8Array): number {
    const sight = this.#sight;
    let table = item.attributes;
    let row = -1;
    if (this.#ofItem)
      row = sight === null ? table.find(bytes, this.#key) : sight.item.rowOf(this.#number, sight.keys, table, bytes);
    if (row < 0 && this.#ofScope && envelope.scope.count > 0) {
      table = envelope.scope;
      row = table.find(bytes, this.#key);
    }
    if (row < 0 && this.#ofResource) {
      table = envelope.resource;
      row =
        sight === null ? table.find(bytes, this.#key) : sight.resource.rowOf(this.#number, sight.keys, table, bytes);
    }
    if (row < 0) return -1;
    this.end = table.valueEnd(row);
    return table.valueAt(row);
  }

  /** The value, of kind `none` when there is none; it holds until the next item. */
  read(item: Item, envelope: Envelope, reader: Reader): Value {
    const value = this.#value;
    if (this.#sight !== null) {
      const { round } = this.#sight.item;
      if (round === this.#round) return value;
      this.#round = round;
    }
    if (this.intrinsic === null) readValue(reader, this.locate(item, envelope, reader.bytes), this.end, value);
    else {
      value.kind = 'none';
      item.intrinsic(this.intrinsic, value);
    }
    return value;
  }
}
