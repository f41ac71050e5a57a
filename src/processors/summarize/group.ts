/** What summaries are kept by. */

import { cutText } from '../../core/boundedText.ts';
import type { Attributes, HistogramValue } from '../../core/otel.ts';
import { encodeAttributes } from '../../otlp/writeMetrics.ts';
import { LOG_ROW, MOST_ATTRIBUTES } from './measure.ts';

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map(
  (kind) => `SPAN_KIND_${kind}`,
);
const STATUSES = ['UNSET', 'OK', 'ERROR'].map((status) => `STATUS_CODE_${status}`);
/** What stands for all groups beyond the bound, as the metrics SDK specification has it. */
const OVERFLOW_NAME = 'otel.metric.overflow';
/** A span may have that name; none has this kind. */
const OVERFLOW_KIND = -1;

/** One line of a summary. */
export interface Group {
  identity: Identity;
  histogram: HistogramValue;
}

/** It outlives flushes, so what is written of it again and again is made once. */
export class Identity {
  readonly resource: Record<string, string>;
  readonly name: string;
  /** The span kind, or the severity number when `status` is LOG_ROW. */
  readonly kind: number;
  readonly status: number;
  /** Characters of its texts. */
  readonly textLength: number;
  #resourceKey: string | null = null;
  #attributes: Uint8Array | null = null;
  #saved: Buffer | null = null;

  constructor(resource: Record<string, string>, name: string, kind: number, status: number) {
    this.resource = resource;
    this.name = name;
    this.kind = kind;
    this.status = status;
    let length = name.length;
    for (const key in resource) length += key.length + (resource[key] as string).length;
    this.textLength = length;
  }

  /** Of all groups beyond the bound. */
  static overflow(status: number): Identity {
    return new Identity({}, OVERFLOW_NAME, OVERFLOW_KIND, status);
  }

  get isOverflow(): boolean {
    return this.kind === OVERFLOW_KIND;
  }

  /** What its resource is told apart by. */
  get resourceKey(): string {
    this.#resourceKey ??= JSON.stringify(this.resource);
    return this.#resourceKey;
  }

  /** Of its points, encoded. */
  get attributes(): Uint8Array {
    this.#attributes ??= encodeAttributes(this.#plainAttributes());
    return this.#attributes;
  }

  #plainAttributes(): Attributes {
    const { name, kind, status } = this;
    if (this.isOverflow) return { [OVERFLOW_NAME]: true };
    if (status === LOG_ROW) return { 'severity.number': kind };
    return {
      'span.name': name,
      'span.kind': KINDS[kind] ?? `SPAN_KIND_${kind}`,
      'status.code': STATUSES[status] ?? `STATUS_CODE_${status}`,
    };
  }

  /** For the checkpoint; `restore` reads it. */
  get saved(): Buffer {
    this.#saved ??= Buffer.from(JSON.stringify([this.resource, this.name, this.kind, this.status]));
    return this.#saved;
  }

  static restore(saved: Buffer): Identity {
    // Written by `saved`, and the checkpoint's CRC is right.
    const [resource, name, kind, status] = JSON.parse(saved.toString()) as [
      Record<string, string>,
      string,
      number,
      number,
    ];
    // Former versions bounded nothing.
    const bounded = Object.entries(resource).slice(0, MOST_ATTRIBUTES);
    const texts = Object.fromEntries(bounded.map(([key, value]) => [cutText(key), cutText(value)]));
    return new Identity(texts, cutText(name), kind, status);
  }
}
