// HOT: once per item and condition. Bench: bench/micro/contracts/match.bench.ts
/** Conditions compiled to comparisons of bytes: no string is made of what passes. */
import { emptyValue, isShortString, isSmallInt, smallInt, type Value } from '../otlp/attributes.ts';
import { type Reader, sameBytes } from '../otlp/protobuf.ts';
import type { Envelope } from '../otlp/resource.ts';
import { type ConditionMap, ENUM_NAMES } from './contract.ts';
import { type EnumKey, type Item, type Lookup, lookupOf, type Sight } from './lookup.ts';

type Wanted = ConditionMap[string];
type Comparison = 'gt' | 'gte' | 'lt' | 'lte';

/** One shape for all of them, so that what asks them is compiled for it; each `op` looks at what it needs. */
interface Test {
  op: 'is' | Comparison | 'like' | 'exists' | 'not';
  text: Buffer;
  number: number;
  /** 1 and 0; -1 for what is none. */
  bool: number;
  parts: readonly Buffer[];
  /** Of `exists`. */
  wanted: boolean;
  /** Of `not`: none of them. */
  tests: readonly Test[];
}

const NOTHING: Test = { op: 'is', text: Buffer.alloc(0), number: NaN, bool: -1, parts: [], wanted: true, tests: [] };

export interface Condition {
  lookup: Lookup;
  /** Any of them. */
  tests: readonly Test[];
  /** Set when nothing but members of an enum are asked for: bit n of `members` is number n, and no value has to be read. */
  enumKey: EnumKey | null;
  members: number;
  /** The answer where there is no value. */
  ofNone: boolean;
}

/** By sight and by what is written: contracts of many services often ask for the same. */
const compiled = new WeakMap<Sight, Map<string, Condition>>();

/** `sight`: where attributes are found for conditions that are asked of the same items; null for those that stand alone. */
export function compileConditions(map: ConditionMap, sight: Sight | null = null): Condition[] {
  const shared = sight === null ? null : sharedBy(sight);
  return Object.entries(map).map(([written, wanted]) => {
    const text = JSON.stringify([written, wanted]);
    const known = shared?.get(text);
    if (known !== undefined) return known;
    const tests = compileTests(wanted, ENUM_NAMES.get(written) ?? []);
    const isEnum = written === 'span.kind' || written === 'status';
    const members = isEnum ? membersOf(tests) : 0;
    const made: Condition = {
      lookup: lookupOf(written, sight),
      tests,
      enumKey: isEnum && members !== 0 ? written : null,
      members,
      ofNone: anyHolds(tests, emptyValue(), NOTHING.text),
    };
    shared?.set(text, made);
    return made;
  });
}

function sharedBy(sight: Sight): Map<string, Condition> {
  const known = compiled.get(sight);
  if (known !== undefined) return known;
  const made = new Map<string, Condition>();
  compiled.set(sight, made);
  return made;
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

function compileTests(wanted: Wanted, names: readonly string[]): Test[] {
  if (Array.isArray(wanted)) return wanted.map((scalar) => is(scalar, names));
  if (typeof wanted !== 'object') return [is(wanted, names)];
  const tests: Test[] = [];
  for (const op of ['gt', 'gte', 'lt', 'lte'] as const) {
    const number = wanted[op];
    if (number !== undefined) tests.push({ ...NOTHING, op, number });
  }
  if (wanted.like !== undefined)
    tests.push({ ...NOTHING, op: 'like', parts: wanted.like.split('*').map((part) => Buffer.from(part)) });
  if (wanted.exists !== undefined) tests.push({ ...NOTHING, op: 'exists', wanted: wanted.exists });
  if (wanted.not !== undefined) tests.push(not(compileTests(wanted.not, names)));
  // Several operators on one key must all hold: "not any that fails" keeps one list with one meaning.
  return tests.length <= 1 ? tests : [not(tests.map((test) => not([test])))];
}

function not(tests: readonly Test[]): Test {
  return { ...NOTHING, op: 'not', tests };
}

function is(scalar: string | number | boolean, names: readonly string[]): Test {
  const named = typeof scalar === 'string' ? names.indexOf(scalar.toLowerCase()) : -1;
  const number = named >= 0 ? named : typeof scalar === 'number' ? scalar : Number.NaN;
  return {
    ...NOTHING,
    op: 'is',
    text: Buffer.from(String(scalar)),
    number,
    bool: typeof scalar === 'boolean' ? Number(scalar) : -1,
  };
}

/** Whether all conditions hold. */
export function matchesAll(conditions: readonly Condition[], item: Item, envelope: Envelope, reader: Reader): boolean {
  for (let i = 0; i < conditions.length; i++) {
    const condition = conditions[i]!;
    const { enumKey } = condition;
    if (enumKey !== null) {
      const number = item.enumOf(enumKey);
      if (number >>> 0 > 31 || ((condition.members >>> number) & 1) === 0) return false;
    } else if (!matches(condition, item, envelope, reader)) return false;
  }
  return true;
}

/** Short strings and small integers, which nearly all values are, are compared as they lie there; others are read first. */
function matches({ lookup, tests, ofNone }: Condition, item: Item, envelope: Envelope, reader: Reader): boolean {
  const { bytes } = reader;
  if (lookup.intrinsic === null) {
    const at = lookup.locate(item, envelope, bytes);
    const { end } = lookup;
    if (at < 0) return ofNone;
    if (isShortString(bytes, at, end)) return anyHoldsText(tests, bytes, at + 2, end);
    if (isSmallInt(bytes, at, end)) return anyHoldsNumber(tests, smallInt(bytes, at, end));
  }
  return anyHolds(tests, lookup.read(item, envelope, reader), bytes);
}

function anyHolds(tests: readonly Test[], value: Value, bytes: Uint8Array): boolean {
  switch (value.kind) {
    case 'string':
      return anyHoldsText(tests, bytes, value.at, value.end);
    case 'int':
    case 'double':
      return anyHoldsNumber(tests, value.number);
    default:
      return anyHoldsOther(tests, value);
  }
}

function anyHoldsText(tests: readonly Test[], bytes: Uint8Array, at: number, end: number): boolean {
  for (let i = 0; i < tests.length; i++) if (holdsText(tests[i]!, bytes, at, end)) return true;
  return false;
}

function holdsText(test: Test, bytes: Uint8Array, at: number, end: number): boolean {
  switch (test.op) {
    case 'is':
      return end - at === test.text.length && sameBytes(bytes, at, test.text, 0, end - at);
    case 'like':
      return like(bytes, at, end, test.parts);
    case 'not':
      return !anyHoldsText(test.tests, bytes, at, end);
    default:
      return test.op === 'exists' && test.wanted;
  }
}

function anyHoldsNumber(tests: readonly Test[], number: number): boolean {
  for (let i = 0; i < tests.length; i++) if (holdsNumber(tests[i]!, number)) return true;
  return false;
}

function holdsNumber(test: Test, number: number): boolean {
  switch (test.op) {
    case 'is':
      return number === test.number;
    case 'gt':
      return number > test.number;
    case 'gte':
      return number >= test.number;
    case 'lt':
      return number < test.number;
    case 'lte':
      return number <= test.number;
    case 'not':
      return !anyHoldsNumber(test.tests, number);
    default:
      return test.op === 'exists' && test.wanted;
  }
}

/** Of no value at all, of a bool, and of what is no scalar. */
function anyHoldsOther(tests: readonly Test[], value: Value): boolean {
  for (let i = 0; i < tests.length; i++) if (holdsOther(tests[i]!, value)) return true;
  return false;
}

function holdsOther(test: Test, value: Value): boolean {
  switch (test.op) {
    case 'is':
      return value.kind === 'bool' && value.number === test.bool;
    case 'exists':
      return (value.kind !== 'none') === test.wanted;
    case 'not':
      return !anyHoldsOther(test.tests, value);
    default:
      return false;
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
