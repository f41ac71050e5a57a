// HOT: once per resource and scope. Bench: bench/micro/otlp/resource.bench.ts
/**
 * The envelope that traces, metrics and logs share: which resource and which scope an item belongs to.
 *
 *   Export...Request { repeated Resource... = 1 }
 *   Resource...      { Resource resource = 1; repeated Scope... = 2; string schema_url = 3 }
 *   Scope...         { InstrumentationScope scope = 1; repeated ITEM = 2; string schema_url = 3 }
 *   Resource         { repeated KeyValue attributes = 1 }       InstrumentationScope { ...; repeated KeyValue attributes = 3 }
 * https://github.com/open-telemetry/opentelemetry-proto/blob/v1.11.0/opentelemetry/proto/trace/v1/trace.proto
 */
import { AttributeTable, emptyValue, readAttributes, readValue } from './attributes.ts';
import { HASH_SEED, hashBytes, mixHash, Reader, readEnd, readTag, skipField } from './protobuf.ts';

const SERVICE_NAME = Buffer.from('service.name');

/** What `serviceHash` is for a service of this name. */
export function hashOfService(service: string): number {
  const name = Buffer.from(service);
  return hashBytes(name, 0, name.length, HASH_SEED);
}

/** Where the walk is. Fields are addresses in `bytes`; they hold until the next resource or scope is entered. */
export class Envelope {
  bytes: Buffer;
  readonly resource = new AttributeTable();
  readonly scope = new AttributeTable();
  /** The Resource... message's content, for `readResource`. */
  fromAt = 0;
  fromEnd = 0;
  /** The Resource message's content, tag and length excluded; equal when the request has none. The last piece, when it stands in several. */
  resourceAt = 0;
  resourceEnd = 0;
  serviceAt = 0;
  serviceLength = 0;
  /** FNV-1a of the service name. */
  serviceHash = HASH_SEED;
  /** The same to be joined with hashes of other texts: unmixed, `a-1` and `b-2` would come to what `a-2` and `b-1` do. Signed. */
  serviceMix = 0;
  /** A scope stood behind its items and had not been looked for: they were shown without it. The walk's caller sets it back. */
  hasLateScope = false;
  readonly #value = emptyValue();
  /** A reader of its own, so that looking around does not move the walk. */
  readonly #reader: Reader;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#reader = new Reader(bytes);
  }

  #resourcePieces = 0;
  #resourceNoted = false;
  #scopeNoted = false;
  #notedAt = 0;
  #notedEnd = 0;
  #scopeAt = 0;
  #scopeEnd = 0;

  /** Remembers where a Resource... message lies, for `load`: reading its attributes costs, and few ask. */
  noteResource(at: number, end: number): void {
    this.#resourceNoted = true;
    this.#notedAt = at;
    this.#notedEnd = end;
  }

  noteScope(at: number, end: number): void {
    this.#scopeNoted = true;
    this.#scopeAt = at;
    this.#scopeEnd = end;
  }

  /** Reads what was noted, once; true when the resource is another than at the last call. */
  load(): boolean {
    const fresh = this.#resourceNoted;
    if (fresh) this.enterResource(this.#notedAt, this.#notedEnd);
    if (this.#scopeNoted) this.enterScope(this.#scopeAt, this.#scopeEnd, true);
    this.#resourceNoted = false;
    this.#scopeNoted = false;
    return fresh;
  }

  /** Finds the Resource anywhere in its envelope (fields may come in any order) and reads its attributes. */
  enterResource(at: number, end: number): void {
    this.resource.clear();
    this.fromAt = at;
    this.fromEnd = end;
    this.resourceAt = at;
    this.resourceEnd = at;
    this.#resourcePieces = 0;
    this.#readPart(at, end, this.resource, 10, true);
    this.serviceAt = at;
    this.serviceLength = 0;
    const found = this.resource.find(this.bytes, SERVICE_NAME);
    if (found >= 0) {
      readValue(this.#reader, this.resource.valueAt(found), this.resource.valueEnd(found), this.#value);
      if (this.#value.kind === 'string') {
        this.serviceAt = this.#value.at;
        this.serviceLength = this.#value.end - this.#value.at;
      }
    }
    this.serviceHash = hashBytes(this.bytes, this.serviceAt, this.serviceLength, HASH_SEED);
    this.serviceMix = mixHash(this.serviceHash);
  }

  /** FNV-1a of the Resource message's bytes, in all their pieces. */
  hashResource(seed: number): number {
    if (this.#resourcePieces <= 1)
      return hashBytes(this.bytes, this.resourceAt, this.resourceEnd - this.resourceAt, seed);
    const reader = this.#reader;
    let hash = seed;
    reader.pos = this.fromAt;
    while (reader.pos < this.fromEnd) {
      const tag = readTag(reader, this.fromEnd);
      if (tag !== 10) skipField(reader, tag, this.fromEnd);
      else {
        const stop = readEnd(reader, this.fromEnd);
        hash = hashBytes(this.bytes, reader.pos, stop - reader.pos, hash);
        reader.pos = stop;
      }
    }
    return hash;
  }

  /** `behindItems`: looks for the scope behind the items, too, at the price of a miss in the cache for each of them. */
  enterScope(at: number, end: number, behindItems: boolean): void {
    this.scope.clear();
    this.#readPart(at, behindItems ? end : firstItem(this.#reader, at, end), this.scope, 26, false);
  }

  /** Reads the attributes (field `attributeTag`) of the message in field 1 of [at, end). */
  #readPart(at: number, end: number, table: AttributeTable, attributeTag: number, isResource: boolean): void {
    const reader = this.#reader;
    reader.pos = at;
    while (reader.pos < end) {
      const tag = readTag(reader, end);
      if (tag !== 10) {
        skipField(reader, tag, end);
        continue;
      }
      const stop = readEnd(reader, end);
      if (isResource) {
        // The last one, when it stands twice.
        this.resourceAt = reader.pos;
        this.resourceEnd = stop;
        this.#resourcePieces++;
      }
      // It may stand twice, anywhere, and is one message then.
      readAttributes(reader, reader.pos, stop, attributeTag, table);
    }
  }
}

/** The attributes of a Resource... message's Resource, as an envelope has them, into the table. */
export function readResource(reader: Reader, at: number, end: number, table: AttributeTable): void {
  table.clear();
  reader.pos = at;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag !== 10) skipField(reader, tag, end);
    else {
      const stop = readEnd(reader, end);
      readAttributes(reader, reader.pos, stop, 10, table);
    }
  }
}

/** What a walk calls for each item: the content of one Span, Metric or LogRecord, between `at` and `end`. */
export interface ItemVisitor {
  enterResource(envelope: Envelope): void;
  item(reader: Reader, at: number, end: number, envelope: Envelope): void;
}

/**
 * Walks one export request down to its items. Throws BODY_UNDECODABLE; items already visited stay visited. Without `behindItems`, a scope
 * that stands behind its items, as no SDK writes it, is only told by `envelope.hasLateScope`.
 */
export function walkItems(
  reader: Reader,
  at: number,
  end: number,
  envelope: Envelope,
  visitor: ItemVisitor,
  behindItems = true,
): void {
  reader.pos = at;
  reader.base = at;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 10) walkResource(reader, readEnd(reader, end), envelope, visitor, behindItems);
    else skipField(reader, tag, end);
  }
}

function walkResource(
  reader: Reader,
  end: number,
  envelope: Envelope,
  visitor: ItemVisitor,
  behindItems: boolean,
): void {
  const at = reader.pos;
  envelope.enterResource(at, end);
  visitor.enterResource(envelope);
  // A visitor may have looked at the resource, which may stand behind the items.
  reader.pos = at;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 18) walkScope(reader, readEnd(reader, end), envelope, visitor, behindItems);
    else skipField(reader, tag, end);
  }
}

function walkScope(reader: Reader, end: number, envelope: Envelope, visitor: ItemVisitor, behindItems: boolean): void {
  envelope.enterScope(reader.pos, end, behindItems);
  let items = 0;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag === 18) {
      const stop = readEnd(reader, end);
      visitor.item(reader, reader.pos, stop, envelope);
      reader.pos = stop;
      items++;
    } else {
      if (tag === 10 && items > 0 && !behindItems) envelope.hasLateScope = true;
      skipField(reader, tag, end);
    }
  }
}

/** Where the first item of a Scope... message begins; its end when there is none. */
function firstItem(reader: Reader, at: number, end: number): number {
  reader.pos = at;
  while (reader.pos < end) {
    const from = reader.pos;
    const tag = readTag(reader, end);
    if (tag === 18) return from;
    skipField(reader, tag, end);
  }
  return end;
}
