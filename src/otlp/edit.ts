// HOT: once per attribute, when editors are configured. Bench: bench/micro/otlp/edit.bench.ts
/**
 * Rewrites attributes anywhere in an export request, for editors: each attribute is kept, removed or given another value, resources
 * may get more; all else is copied as it is and enclosing lengths are recomputed.
 */
import type { Signal } from '../core/block.ts';
import { copyRange, type Reader, readEnd, readTag, skipField, varintBytes, writeVarint } from './protobuf.ts';

/** A message that holds attributes, or messages that do: what to do by tag. */
interface Shape {
  attributes: number;
  children: ReadonlyMap<number, Shape>;
  isResource: boolean;
  /** It holds a resource, which may be missing. */
  holdsResource: boolean;
  /** It is a resource or holds one: edits of resources alone enter nothing else. */
  leadsToResource: boolean;
}

const tag = (field: number) => (field << 3) | 2;
function shape(attributes: number, children: Record<number, Shape> = {}, isResource = false): Shape {
  const entries = Object.entries(children).map(([field, child]) => [tag(Number(field)), child] as const);
  const leadsToResource = isResource || entries.some(([, child]) => child.leadsToResource);
  const holdsResource = entries.some(([, child]) => child.isResource);
  return {
    attributes: attributes === 0 ? 0 : tag(attributes),
    children: new Map(entries),
    isResource,
    holdsResource,
    leadsToResource,
  };
}

const RESOURCE = shape(1, {}, true);
/** A resource that stands twice is one, and gets what is added once. */
const RESOURCE_AGAIN = shape(1);
const SCOPE = shape(3);
const EXEMPLAR = shape(7);
const NUMBER_POINTS = shape(0, { 1: shape(7, { 5: EXEMPLAR }) });
const ITEMS: Record<Signal, Shape> = {
  traces: shape(9, { 11: shape(3), 13: shape(4) }),
  logs: shape(6),
  metrics: shape(12, {
    5: NUMBER_POINTS,
    7: NUMBER_POINTS,
    9: shape(0, { 1: shape(9, { 8: EXEMPLAR }) }),
    10: shape(0, { 1: shape(1, { 11: EXEMPLAR }) }),
    11: shape(0, { 1: shape(7) }),
  }),
};
const request = (signal: Signal) =>
  shape(0, { 1: shape(0, { 1: RESOURCE, 2: shape(0, { 1: SCOPE, 2: ITEMS[signal] }) }) });
const REQUESTS: Record<Signal, Shape> = {
  traces: request('traces'),
  metrics: request('metrics'),
  logs: request('logs'),
};

/** The attribute under edit; addresses. `replacement` is the AnyValue's new content when an editor answers `replace`. */
export interface AttributeEdit {
  keyAt: number;
  keyLength: number;
  /** The AnyValue's content; equal when there is none. */
  valueAt: number;
  valueEnd: number;
  replacement: Buffer;
}

export interface Edits {
  /** Whether any editor looks at attributes below the resource; without, items are copied unread. */
  readonly touchesItems: boolean;
  attribute(bytes: Buffer, edit: AttributeEdit): 'keep' | 'remove' | 'replace';
  /** KeyValue fields (tag included) to add to this resource's content. */
  addToResource(bytes: Buffer, at: number, end: number): Buffer | null;
  /** Bytes that one resource or attribute can grow by at most: bounds the output. */
  readonly growth: number;
}

const edit: AttributeEdit = { keyAt: 0, keyLength: 0, valueAt: 0, valueEnd: 0, replacement: Buffer.alloc(0) };

/**
 * Writes the edited request to `to` (room for its length and `growth` for each place of the survey) and returns the position after it. The input must have been
 * validated.
 */
export function editRequest(
  reader: Reader,
  bytes: Buffer,
  signal: Signal,
  at: number,
  end: number,
  to: number,
  edits: Edits,
): number {
  reader.pos = at;
  return writeFields(reader, bytes, REQUESTS[signal], end, to, edits);
}

function writeFields(reader: Reader, bytes: Buffer, shape: Shape, end: number, to: number, edits: Edits): number {
  const start = reader.pos;
  let out = to;
  let copied = start;
  let hasResource = false;
  while (reader.pos < end) {
    const fieldAt = reader.pos;
    const fieldTag = readTag(reader, end);
    const child = childOf(shape, fieldTag, hasResource);
    if (
      fieldTag !== shape.attributes &&
      (child === undefined || (!edits.touchesItems && !child.leadsToResource && child !== RESOURCE_AGAIN))
    ) {
      skipField(reader, fieldTag, end);
      continue;
    }
    if (child?.isResource) hasResource = true;
    out = copyRange(bytes, copied, fieldAt, out);
    const stop = readEnd(reader, end);
    const valueAt = reader.pos;
    if (child === undefined) out = writeAttribute(reader, bytes, shape, fieldAt, stop, out, edits);
    else {
      const lengthAt = out + varintBytes(fieldTag);
      writeVarint(bytes, out, fieldTag);
      out = writeSized(reader, bytes, child, stop, lengthAt, stop - valueAt, edits);
    }
    reader.pos = stop;
    copied = stop;
  }
  out = copyRange(bytes, copied, end, out);
  const more = addedTo(shape, hasResource, bytes, start, end, edits);
  if (more !== null) {
    for (let i = 0; i < more.length; i++) bytes[out + i] = more[i]!;
    out += more.length;
  }
  return out;
}

function childOf(shape: Shape, fieldTag: number, hasResource: boolean): Shape | undefined {
  const child = shape.children.get(fieldTag);
  return hasResource && child?.isResource ? RESOURCE_AGAIN : child;
}

/** What is added at the end of a resource, or, as a resource of its own, of a message that holds none. */
function addedTo(
  shape: Shape,
  hasResource: boolean,
  bytes: Buffer,
  start: number,
  end: number,
  edits: Edits,
): Buffer | null {
  if (shape.isResource) return edits.addToResource(bytes, start, end);
  if (!shape.holdsResource || hasResource) return null;
  const content = edits.addToResource(bytes, start, start);
  if (content === null) return null;
  const head = Buffer.alloc(6);
  head[0] = tag(1);
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, content.length)), content]);
}

/** Writes length and content; the length's own size is guessed from the old one and mended by a move when it was wrong. */
function writeSized(
  reader: Reader,
  bytes: Buffer,
  shape: Shape,
  end: number,
  to: number,
  oldLength: number,
  edits: Edits,
): number {
  const guess = varintBytes(oldLength);
  let stop = writeFields(reader, bytes, shape, end, to + guess, edits);
  const length = stop - to - guess;
  const needed = varintBytes(length);
  if (needed !== guess) {
    bytes.copyWithin(to + needed, to + guess, stop);
    stop += needed - guess;
  }
  writeVarint(bytes, to, length);
  return stop;
}

function writeAttribute(
  reader: Reader,
  bytes: Buffer,
  shape: Shape,
  fieldAt: number,
  end: number,
  to: number,
  edits: Edits,
): number {
  readAttribute(reader, end);
  switch (edits.attribute(bytes, edit)) {
    case 'remove':
      return to;
    case 'keep':
      return copyRange(bytes, fieldAt, end, to);
    case 'replace': {
      const { replacement } = edit;
      const length =
        1 + varintBytes(edit.keyLength) + edit.keyLength + 1 + varintBytes(replacement.length) + replacement.length;
      // All tags of attributes are one byte; the sender's may have been written longer.
      bytes[to] = shape.attributes;
      let out = writeVarint(bytes, to + 1, length);
      bytes[out] = 10;
      out = writeVarint(bytes, out + 1, edit.keyLength);
      out = copyRange(bytes, edit.keyAt, edit.keyAt + edit.keyLength, out);
      bytes[out] = 18;
      out = writeVarint(bytes, out + 1, replacement.length);
      for (let i = 0; i < replacement.length; i++) bytes[out + i] = replacement[i]!;
      return out + replacement.length;
    }
  }
}

/** Walks the same places without writing: how many attributes and resources there are, and whether any would change. */
export function surveyRequest(
  reader: Reader,
  bytes: Buffer,
  signal: Signal,
  at: number,
  end: number,
  edits: Edits,
): { changes: boolean; places: number } {
  const survey = { changes: false, places: 0 };
  reader.pos = at;
  surveyFields(reader, bytes, REQUESTS[signal], end, edits, survey);
  return survey;
}

function surveyFields(
  reader: Reader,
  bytes: Buffer,
  shape: Shape,
  end: number,
  edits: Edits,
  survey: { changes: boolean; places: number },
): void {
  const start = reader.pos;
  let hasResource = false;
  while (reader.pos < end) {
    const fieldTag = readTag(reader, end);
    const child = childOf(shape, fieldTag, hasResource);
    if (
      fieldTag !== shape.attributes &&
      (child === undefined || (!edits.touchesItems && !child.leadsToResource && child !== RESOURCE_AGAIN))
    ) {
      skipField(reader, fieldTag, end);
      continue;
    }
    if (child?.isResource) hasResource = true;
    const stop = readEnd(reader, end);
    if (child !== undefined) surveyFields(reader, bytes, child, stop, edits, survey);
    else surveyAttribute(reader, bytes, stop, edits, survey);
    reader.pos = stop;
  }
  if (!shape.isResource && (!shape.holdsResource || hasResource)) return;
  survey.places++;
  if (addedTo(shape, hasResource, bytes, start, end, edits) !== null) survey.changes = true;
}

function surveyAttribute(
  reader: Reader,
  bytes: Buffer,
  end: number,
  edits: Edits,
  survey: { changes: boolean; places: number },
): void {
  readAttribute(reader, end);
  survey.places++;
  if (edits.attribute(bytes, edit) !== 'keep') survey.changes = true;
}

/** Fills `edit` from the KeyValue that ends at `end`. */
function readAttribute(reader: Reader, end: number): void {
  edit.keyAt = reader.pos;
  edit.keyLength = 0;
  edit.valueAt = end;
  edit.valueEnd = end;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag !== 10 && tag !== 18) {
      skipField(reader, tag, end);
      continue;
    }
    const stop = readEnd(reader, end);
    if (tag === 10) {
      edit.keyAt = reader.pos;
      edit.keyLength = stop - reader.pos;
    } else {
      edit.valueAt = reader.pos;
      edit.valueEnd = stop;
    }
    reader.pos = stop;
  }
}
