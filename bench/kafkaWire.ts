/** Kafka's primitive types, read from a request and written to a reply: https://kafka.apache.org/protocol#protocol_types */

/** Reads from a position on. */
export class Cursor {
  readonly #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer;
    this.#at = at;
  }

  int16(): number {
    this.#at += 2;
    return this.#buffer.readInt16BE(this.#at - 2);
  }
  int32(): number {
    this.#at += 4;
    return this.#buffer.readInt32BE(this.#at - 4);
  }
  text(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#at += length;
    return this.#buffer.toString('utf8', this.#at - length, this.#at);
  }
  bytes(): Buffer {
    const length = Math.max(0, this.int32());
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }
}

/** Writes them, behind the length and the correlation id. */
export class Reply {
  #buffer = Buffer.alloc(512);
  #at = 4;

  constructor(correlation: number) {
    this.int32(correlation);
  }

  int8(value: number): this {
    this.#buffer.writeInt8(value, this.#room(1));
    return this;
  }
  int16(value: number): this {
    this.#buffer.writeInt16BE(value, this.#room(2));
    return this;
  }
  int32(value: number): this {
    this.#buffer.writeInt32BE(value, this.#room(4));
    return this;
  }
  int64(value: number): this {
    this.#buffer.writeBigInt64BE(BigInt(value), this.#room(8));
    return this;
  }
  text(value: string | null): this {
    if (value === null) return this.int16(-1);
    const bytes = Buffer.from(value);
    this.int16(bytes.length);
    bytes.copy(this.#buffer, this.#room(bytes.length));
    return this;
  }
  finish(): Buffer {
    this.#buffer.writeInt32BE(this.#at - 4, 0);
    return this.#buffer.subarray(0, this.#at);
  }
  #room(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    while (this.#at > this.#buffer.length)
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(this.#buffer.length)]);
    return at;
  }
}
