/** What is appended to a kept item: the reason as attributes, the threshold it was kept by. Made once for each reason and threshold. */
import { writeVarint } from '../otlp/protobuf.ts';
import { type Bits56, thresholdText } from '../otlp/tracestate.ts';
import type { Addition, Selector } from '../processors/processor.ts';

export const SPAN_TRACE_STATE = 26;
export const SPAN_ATTRIBUTES = 74;
export const LOG_ATTRIBUTES = 50;
/** Slots turn every few seconds, and a frame's traces are of two or three of them. */
const REMEMBERED = 4;

/** As bytes: to a span without a tracestate, to one that has one. */
export interface Tail {
  bits: Bits56;
  /** Hex digits; "0" is certainty, of which nothing is written. */
  text: string;
  span: Buffer;
  attributes: Buffer;
  /** To a log record, as two parts: a threshold of its own may stay. */
  logReason: Buffer;
  logThreshold: Buffer;
}

interface Slot {
  addition: Addition;
  tails: Tail[];
  next: number;
}

export class Tails {
  /** By selector and verdict. */
  readonly #slots: Slot[][];

  constructor(selectors: readonly Selector[]) {
    this.#slots = selectors.map(({ additions }) => additions.map((addition) => ({ addition, tails: [], next: 0 })));
  }

  of(selector: number, verdict: number, { high, low }: Bits56): Tail {
    const slot = this.#slots[selector]![verdict]!;
    const { tails } = slot;
    for (let i = 0; i < tails.length; i++) {
      const { bits } = tails[i]!;
      if (bits.high === high && bits.low === low) return tails[i]!;
    }
    const made = tailOf(slot.addition, { high, low });
    tails[slot.next++ % REMEMBERED] = made;
    return made;
  }
}

function field(tag: number, content: Uint8Array): Buffer {
  const head = Buffer.alloc(6);
  head[0] = tag;
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, content.length)), content]);
}

/** An attribute of a log record, tag included. */
export function logAttribute(key: string, text: string): Buffer {
  return field(LOG_ATTRIBUTES, Buffer.concat([field(10, Buffer.from(key)), field(18, field(10, Buffer.from(text)))]));
}

export function tailOf(addition: Addition, bits: Bits56): Tail {
  const text = thresholdText(bits);
  const attributes = Buffer.concat(addition.attributes.map((content) => field(SPAN_ATTRIBUTES, content)));
  // At 100 % nothing is added to the tracestate, as the specification says.
  const state = text === '0' ? Buffer.alloc(0) : field(SPAN_TRACE_STATE, Buffer.from(`ot=th:${text}`));
  const logReason = Buffer.concat(addition.attributes.map((content) => field(LOG_ATTRIBUTES, content)));
  const threshold = text === '0' ? Buffer.alloc(0) : logAttribute('sampling.threshold', text);
  return {
    bits,
    text,
    span: Buffer.concat([state, attributes]),
    attributes,
    logReason,
    logThreshold: threshold,
  };
}
