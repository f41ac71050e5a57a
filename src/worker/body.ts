/** A request's body to the protobuf that is journalled: inflated within its bound, converted from JSON, edited. */
import {
  copyInto,
  Encoding,
  Field,
  FRAME_HEADER_BYTES,
  frameSpan,
  payloadLength,
  SIGNALS,
  type Signal,
  setPayloadLength,
  setVoid,
  Uncommitted,
} from '../core/block.ts';
import { freeLarge } from '../core/freeLarge.ts';
import { editRequest, surveyRequest } from '../otlp/edit.ts';
import { inflate } from './inflate.ts';
import type { Parts } from './parts.ts';

/** Signal of the frame at `at`. */
export function signalOf(parts: Parts, at: number): Signal {
  return SIGNALS[parts.views.pool.bytes[at + Field.signal] as number] as Signal;
}

/** Address of the frame that holds the decoded, edited body: `at` itself when nothing had to change. Throws BODY_... */
export function prepareBody(parts: Parts, at: number): number {
  const { pool } = parts.views;
  const encoding = pool.words[(at + Uncommitted.encoding) >>> 2] as number;
  const decoded = encoding === Encoding.protobuf ? at : decode(parts, at, encoding);
  if (parts.edits === null) return decoded;
  try {
    return edit(parts, decoded);
  } catch (error) {
    // The request is refused; what was decoded of it must not be written.
    setVoid(pool, decoded);
    throw error;
  }
}

function decode(parts: Parts, at: number, encoding: number): number {
  const { pool } = parts.views;
  let body: Uint8Array = pool.bytes.subarray(
    at + FRAME_HEADER_BYTES,
    at + FRAME_HEADER_BYTES + payloadLength(pool, at),
  );
  const inflated = (encoding & ~Encoding.json) === 0 ? null : inflate(body, encoding, parts.setup.maxBodyBytes);
  body = inflated ?? body;
  if ((encoding & Encoding.json) !== 0) body = parts.json.convert(signalOf(parts, at), body);
  const to = moveFrame(parts, at, body.length);
  copyInto(pool.bytes, to + FRAME_HEADER_BYTES, body);
  if (inflated !== null) freeLarge(inflated);
  return to;
}

/** A new frame with the same header and room for `payloadBytes`; the old one becomes void. */
export function moveFrame(parts: Parts, at: number, payloadBytes: number): number {
  const { pool } = parts.views;
  const to = parts.output.allocateFrame(frameSpan(payloadBytes));
  pool.bytes.copyWithin(to, at, at + FRAME_HEADER_BYTES);
  pool.words[(to + Uncommitted.encoding) >>> 2] = Encoding.protobuf;
  setPayloadLength(pool, to, payloadBytes);
  setVoid(pool, at);
  return to;
}

function edit(parts: Parts, at: number): number {
  const { pool, reader } = parts.views;
  const edits = parts.edits as NonNullable<Parts['edits']>;
  const signal = signalOf(parts, at);
  const from = at + FRAME_HEADER_BYTES;
  const length = payloadLength(pool, at);
  const survey = surveyRequest(reader, pool.bytes, signal, from, from + length, edits);
  if (!survey.changes) return at;
  const to = moveFrame(parts, at, length + survey.places * edits.growth);
  const end = editRequest(reader, pool.bytes, signal, from, from + length, to + FRAME_HEADER_BYTES, edits);
  setPayloadLength(pool, to, end - to - FRAME_HEADER_BYTES);
  parts.output.shrinkFrame(to, end - to);
  return to;
}
