// HOT: once per item and condition. Bench: bench/micro/contracts/match.bench.ts
/** Conditions compiled to comparisons of bytes: no string is made of what passes. */
import { type AttributeTable, emptyValue, readValue, type Value } from '../otlp/attributes.ts';
import { type Reader, sameBytes } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import { type ConditionMap, ENUM_NAMES, INTRINSICS_OF } from './contract.ts';
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
type Test =
  | { op: 'is'; text: Buffer; number: number; bool: number }
  | { op: 'gt' | 'gte' | 'lt' | 'lte'; number: number }
  | { op: 'like'; parts: Buffer[] }
  | { op: 'exists'; wanted: boolean }
  | { op: 'not'; tests: Test[] };

export interface Condition {
  lookup: Lookup;
  /** Any of them. */
  tests: Test[];
  /** Set when nothing but members of an enum are asked for: bit n of `members` is number n, and no value has to be read. */
  enumKey: EnumKey | null;
  members: number;
}

/** `sight`: where attributes are found for conditions that are asked of the same items; null for those that stand alone. */
export function compileConditions(map: ConditionMap, sight: Sight | null = null): Condition[] {
  return Object.entries(map).map(([written, wanted]) => {
    const tests = compileTests(wanted, ENUM_NAMES.get(written) ?? []);
    const isEnum = written === 'span.kind' || written === 'status';
    const members = isEnum ? membersOf(tests) : 0;
    return { lookup: lookupOf(written, sight), tests, enumKey: isEnum && members !== 0 ? written : null, members };
  });
}

/** The numbers that the tests name, as bits; 0 when one of them is of another kind. */
function membersOf(tests: readonly Test[]): number {
  let members = 0;
  for (const test of tests) {
    if (test.op !== 'is' || !(test.number >= 0 && test.number < 32) || !Number.isInteger(test.number)) return 0;
    members |= 1 << test.number;
  }
  return members;
}

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

/** Finds what a key means: an intrinsic, or an attribute of the item, its scope, its resource. */
export class Lookup {
  readonly #intrinsic: Intrinsic | null;
  /** `item`, `resource`, or item, then scope, then resource. */
  readonly #place: 'item' | 'resource' | 'any';
  readonly #key: Buffer;
  readonly #sight: Sight | null;
  readonly #number: number;
  readonly #value = emptyValue();
  /** The item that `#value` is of, as its sight numbers them. */
  #round = -1;

  constructor(written: string, sight: Sight | null) {
    this.#intrinsic = INTRINSICS_OF.has(written) ? (written as Intrinsic) : null;
    this.#place = written.startsWith('attr.') ? 'item' : written.startsWith('resource.') ? 'resource' : 'any';
    const prefix = this.#place === 'any' ? 0 : written.indexOf('.') + 1;
    this.#key = Buffer.from(written.slice(prefix));
    this.#sight = sight;
    this.#number = sight === null || this.#intrinsic !== null ? -1 : sight.keys.add(this.#key);
  }

  /** The value, of kind `none` when there is none; it holds until the next item. */
  read(item: Item, envelope: Envelope, reader: Reader): Value {
    if (this.#sight !== null) {
      const { round } = this.#sight.item;
      if (round === this.#round) return this.#value;
      this.#round = round;
    }
    this.#readAnew(item, envelope, reader);
    return this.#value;
  }

  #readAnew(item: Item, envelope: Envelope, reader: Reader): void {
    const value = this.#value;
    value.kind = 'none';
    if (this.#intrinsic !== null) item.intrinsic(this.#intrinsic, value);
    else {
      const place = this.#place;
      const sight = this.#sight;
      if (place !== 'resource' && this.#readFrom(item.attributes, reader, sight === null ? null : sight.item)) return;
      if (place === 'any' && envelope.scope.count > 0 && this.#readFrom(envelope.scope, reader, null)) return;
      if (place !== 'item') this.#readFrom(envelope.resource, reader, sight === null ? null : sight.resource);
    }
  }

  #readFrom(table: AttributeTable, reader: Reader, seen: Found | null): boolean {
    const found =
      seen === null
        ? table.find(reader.bytes, this.#key)
        : seen.rowOf(this.#number, this.#sight!.keys, table, reader.bytes);
    if (found < 0) return false;
    readValue(reader, table.valueAt(found), table.valueEnd(found), this.#value);
    return true;
  }
}

type Wanted = ConditionMap[string];

function compileTests(wanted: Wanted, names: readonly string[]): Test[] {
  if (Array.isArray(wanted)) return wanted.map((scalar) => is(scalar, names));
  if (typeof wanted !== 'object') return [is(wanted, names)];
  const tests: Test[] = [];
  for (const op of ['gt', 'gte', 'lt', 'lte'] as const) {
    const number = wanted[op];
    if (number !== undefined) tests.push({ op, number });
  }
  if (wanted.like !== undefined)
    tests.push({ op: 'like', parts: wanted.like.split('*').map((part) => Buffer.from(part)) });
  if (wanted.exists !== undefined) tests.push({ op: 'exists', wanted: wanted.exists });
  if (wanted.not !== undefined) tests.push({ op: 'not', tests: compileTests(wanted.not, names) });
  // Several operators on one key must all hold: "not any that fails" keeps one list with one meaning.
  return tests.length <= 1 ? tests : [{ op: 'not', tests: tests.map((test) => ({ op: 'not', tests: [test] })) }];
}

function is(scalar: string | number | boolean, names: readonly string[]): Test {
  const named = typeof scalar === 'string' ? names.indexOf(scalar.toLowerCase()) : -1;
  const number = named >= 0 ? named : typeof scalar === 'number' ? scalar : Number.NaN;
  return {
    op: 'is',
    text: Buffer.from(String(scalar)),
    number,
    bool: typeof scalar === 'boolean' ? Number(scalar) : -1,
  };
}

/** Whether all conditions hold. */
export function matchesAll(conditions: readonly Condition[], item: Item, envelope: Envelope, reader: Reader): boolean {
  for (let i = 0; i < conditions.length; i++) {
    const { lookup, tests, enumKey, members } = conditions[i]!;
    if (enumKey !== null) {
      const number = item.enumOf(enumKey);
      if (number >>> 0 > 31 || ((members >>> number) & 1) === 0) return false;
      continue;
    }
    if (!anyHolds(tests, lookup.read(item, envelope, reader), reader.bytes)) return false;
  }
  return true;
}

function anyHolds(tests: readonly Test[], value: Value, bytes: Uint8Array): boolean {
  for (let i = 0; i < tests.length; i++) if (holds(tests[i]!, value, bytes)) return true;
  return false;
}

function holds(test: Test, value: Value, bytes: Uint8Array): boolean {
  const numeric = value.kind === 'int' || value.kind === 'double';
  switch (test.op) {
    case 'is':
      if (value.kind === 'string') {
        return value.end - value.at === test.text.length && sameBytes(bytes, value.at, test.text, 0, test.text.length);
      }
      return numeric ? value.number === test.number : value.kind === 'bool' && value.number === test.bool;
    case 'gt':
      return numeric && value.number > test.number;
    case 'gte':
      return numeric && value.number >= test.number;
    case 'lt':
      return numeric && value.number < test.number;
    case 'lte':
      return numeric && value.number <= test.number;
    case 'like':
      return value.kind === 'string' && like(bytes, value.at, value.end, test.parts);
    case 'exists':
      return (value.kind !== 'none') === test.wanted;
    case 'not':
      return !anyHolds(test.tests, value, bytes);
    default:
      return test satisfies never;
  }
}

/** First part at the start, last part at the end, the others in order between, each as early as possible. */
function like(bytes: Uint8Array, at: number, end: number, parts: readonly Buffer[]): boolean {
  const first = parts[0]!;
  const last = parts[parts.length - 1]!;
  if (parts.length === 1) return end - at === first.length && sameBytes(bytes, at, first, 0, first.length);
  if (end - at < first.length + last.length) return false;
  if (!sameBytes(bytes, at, first, 0, first.length)) return false;
  const tail = end - last.length;
  if (!sameBytes(bytes, tail, last, 0, last.length)) return false;
  let from = at + first.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const part = parts[i]!;
    while (from + part.length <= tail && !sameBytes(bytes, from, part, 0, part.length)) from++;
    if (from + part.length > tail) return false;
    from += part.length;
  }
  return true;
}
