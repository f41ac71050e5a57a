// HOT: once per attribute, when editors are configured. Bench: bench/micro/otlp/edit.bench.ts
/**
 * Rewrites attributes anywhere in an export request, for editors, those of maps in values and in bodies of log records among them: each
 * attribute is kept, removed or given another value, resources may get more; all else is copied as it is and enclosing lengths are recomputed.
 */
import type { Signal } from '../core/block.ts';
import { MAX_DEPTH } from './attributes.ts';
import {
  type AttributeEdit,
  beginAttributes,
  edit,
  enterValue,
  holdsMaps,
  leaveValue,
  readAttribute,
} from './editAttribute.ts';
import { KEY_VALUE, REQUESTS, RESOURCE_AGAIN, type Shape, tag } from './editShapes.ts';
import {
  copyRange,
  malformed,
  type Reader,
  readEnd,
  readTag,
  skipField,
  varintBytes,
  writeVarint,
} from './protobuf.ts';

export interface Edits {
  /** Whether any editor looks at attributes below the resource; without, items are copied unread. */
  readonly touchesItems: boolean;
  attribute(bytes: Buffer, edit: AttributeEdit): 'keep' | 'remove' | 'replace';
  /** KeyValue fields (tag included) to add to this resource's content. */
  addToResource(bytes: Buffer, at: number, end: number): Buffer | null;
  /** Bytes that one resource or attribute can grow by at most: bounds the output. */
  readonly growth: number;
}

/**
 * Writes the edited request to `to` (room for its length and `growth` for each place of the survey) and returns the position after it. The input must have been
 * surveyed.
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
  beginAttributes();
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
    const stop = readEnd(reader, end);
    const valueAt = reader.pos;
    if (child?.isValue && !holdsMaps(reader, stop)) {
      reader.pos = stop;
      continue;
    }
    reader.pos = valueAt;
    out = copyRange(bytes, copied, fieldAt, out);
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
  const from = reader.pos;
  readAttribute(reader, bytes, end);
  switch (edits.attribute(bytes, edit)) {
    case 'remove':
      return to;
    case 'keep': {
      if (!edit.holdsMaps) return copyRange(bytes, fieldAt, end, to);
      const outside = enterValue(bytes);
      reader.pos = from;
      bytes[to] = shape.attributes;
      const out = writeSized(reader, bytes, KEY_VALUE, end, to + 1, end - from, edits);
      leaveValue(outside);
      return out;
    }
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

interface Survey {
  changes: boolean;
  places: number;
  /** Values around the one that is looked at. */
  depth: number;
}

/** Walks the same places without writing: how many attributes and resources there are, and whether any would change. */
export function surveyRequest(
  reader: Reader,
  bytes: Buffer,
  signal: Signal,
  at: number,
  end: number,
  edits: Edits,
): Survey {
  const survey = { changes: false, places: 0, depth: 0 };
  reader.pos = at;
  reader.base = at;
  beginAttributes();
  surveyFields(reader, bytes, REQUESTS[signal], end, edits, survey);
  return survey;
}

function surveyFields(reader: Reader, bytes: Buffer, shape: Shape, end: number, edits: Edits, survey: Survey): void {
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
    const valueAt = reader.pos;
    if (child === undefined) surveyAttribute(reader, bytes, stop, edits, survey);
    else if (!child.isValue || holdsMaps(reader, stop)) {
      reader.pos = valueAt;
      if (child.isValue) surveyValue(reader, bytes, child, stop, edits, survey);
      else surveyFields(reader, bytes, child, stop, edits, survey);
    }
    reader.pos = stop;
  }
  if (!shape.isResource && (!shape.holdsResource || hasResource)) return;
  survey.places++;
  if (addedTo(shape, hasResource, bytes, start, end, edits) !== null) survey.changes = true;
}

/** What was received is edited before it is validated: it may be an attack, and is refused here. */
function surveyValue(reader: Reader, bytes: Buffer, shape: Shape, end: number, edits: Edits, survey: Survey): void {
  // Arrays alone may be around what grows, and their lengths with it.
  survey.places++;
  if (++survey.depth > MAX_DEPTH) malformed(reader, `more than ${MAX_DEPTH} values inside one another`);
  surveyFields(reader, bytes, shape, end, edits, survey);
  survey.depth--;
}

function surveyAttribute(reader: Reader, bytes: Buffer, end: number, edits: Edits, survey: Survey): void {
  const from = reader.pos;
  readAttribute(reader, bytes, end);
  survey.places++;
  const answer = edits.attribute(bytes, edit);
  if (answer !== 'keep') survey.changes = true;
  else if (edit.holdsMaps) {
    const outside = enterValue(bytes);
    reader.pos = from;
    surveyFields(reader, bytes, KEY_VALUE, end, edits, survey);
    leaveValue(outside);
  }
}
