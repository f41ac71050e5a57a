/**
 * A connection of the fast front: one request after the other, each an Exchange for handle.ts.
 *
 *   fresh, idle -> (a head) waiting -> (admitted) body -> (it is whole) work -> (answered) idle
 *                           \- refused unread -> dropping: the rest of its body -> idle; a long one: lingering -> closed
 *   fresh, idle -> (bytes that are no such head) node:http's, for good: gone
 */
import type { Socket } from 'node:net';
import type { Signal } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import type { Body } from './accept.ts';
import { ArrivingBody } from './bodies.ts';
import { answerBroken } from './broken.ts';
import { countAnswer, type Exchange, isJson, type RequestHeaders } from './handle.ts';
import type { Head } from './head.ts';
import { LINGER_MS, MOST_DROPPED_BYTES, type Refusal, refusalBody } from './replies.ts';
import type { Shared } from './shared.ts';

/** Bytes, and where they lie; false: no more until `resume`. */
export type OnRead = (length: number, buffer: Uint8Array) => boolean;

type Phase = 'fresh' | 'idle' | 'waiting' | 'body' | 'work' | 'replying' | 'dropping' | 'lingering' | 'gone';

/** As node:http has it: a client that keeps to what it was told does not meet the close. */
const KEEP_ALIVE_SLACK_MS = 1000;

export class Connection implements Exchange {
  readonly method = 'POST';
  readonly address: string;
  signal: Signal = 'traces';
  headers: RequestHeaders = {};
  announcedBytes = 0;
  readonly #shared: Shared;
  readonly #socket: Socket;
  #phase: Phase = 'fresh';
  #head: Head | null = null;
  /** When the phase `fresh` or `idle`, or the request, began. */
  #sinceMs = performance.now();
  readonly #body: ArrivingBody;
  #settle: { resolve(body: Body): void; reject(error: AgentError): void } | null = null;
  /** Bytes that came after the request in work. Nothing more is read until they had their turn. */
  #next: Buffer | null = null;
  #closes = false;
  readonly #whenGone: (() => void)[] = [];
  #lingering: NodeJS.Timeout | undefined;

  /** `open` gives the socket, which asks for a target before each read. */
  constructor(shared: Shared, open: (target: () => Uint8Array, read: OnRead) => Socket) {
    this.#shared = shared;
    this.#body = new ArrivingBody(shared.bodies, shared.buffer);
    this.#socket = open(
      () => this.#body.target(),
      (length, buffer) => this.#read(length, buffer),
    );
    this.address = this.#socket.remoteAddress ?? '';
    shared.connections.add(this);
    this.#socket.on('data', this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('error', onError);
    this.#socket.on('close', this.#onClose);
  }

  /** Cuts what is too slow; `nowMs` is by performance.now(). */
  check(nowMs: number): void {
    const { headersMs, requestMs, keepAliveMs } = this.#shared.timeouts;
    const tookMs = nowMs - this.#sinceMs;
    if (this.#phase === 'idle') {
      if (tookMs > keepAliveMs + KEEP_ALIVE_SLACK_MS) this.#socket.destroy();
    } else if (this.#phase === 'fresh') {
      if (tookMs > headersMs) this.#break('ERR_HTTP_REQUEST_TIMEOUT');
    } else if (!this.#body.isWhole && this.#phase !== 'lingering' && tookMs > requestMs) {
      this.#break('ERR_HTTP_REQUEST_TIMEOUT');
    }
  }

  closeIdle(): void {
    if (this.#phase === 'fresh' || this.#phase === 'idle') this.#socket.destroy();
  }

  /** Whatever is under way. */
  destroy(): void {
    this.#socket.destroy();
  }

  whenGone(callback: () => void): void {
    this.#whenGone.push(callback);
  }

  /** Who expects a 100 is node:http's. */
  proceed(): void {}

  readBody(): Body | Promise<Body> {
    if (this.#body.isWhole) {
      this.#phase = 'work';
      return this.#body.view();
    }
    this.#phase = 'body';
    this.#body.collect();
    this.#socket.resume();
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  freeBody(): void {
    this.#body.free();
  }

  succeed(body: Buffer, json: boolean): void {
    if (this.#phase !== 'work') return;
    this.#reply(200, null, body, json);
    this.#finish();
  }

  refuse(refusal: Refusal, json: boolean): void {
    if (this.#phase !== 'work' && this.#phase !== 'waiting') return;
    const lingers = !this.#body.isWhole && this.#body.bytes > MOST_DROPPED_BYTES;
    this.#closes ||= lingers;
    this.#reply(refusal.status, refusal.headers ?? {}, refusalBody(refusal, json), json);
    if (this.#body.isWhole) {
      this.#finish();
      return;
    }
    this.#body.dropFirst();
    this.#phase = lingers ? 'lingering' : 'dropping';
    if (lingers) this.#lingering = setTimeout(() => this.#socket.destroySoon(), LINGER_MS);
    this.#socket.resume();
  }

  #read(length: number, buffer: Uint8Array): boolean {
    switch (this.#phase) {
      case 'fresh':
      case 'idle':
        this.#begin(this.#shared.buffer, length);
        break;
      case 'body':
      case 'dropping':
      case 'lingering':
        this.#takeBody(length, buffer);
        break;
      case 'waiting':
      case 'work':
      case 'replying':
        this.#keep(this.#shared.buffer, 0, length);
        break;
      case 'gone':
        break;
    }
    return this.#mayRead();
  }

  #mayRead(): boolean {
    return this.#phase !== 'waiting' && this.#next === null;
  }

  /** The first `end` bytes begin with a request. */
  #begin(bytes: Buffer, end: number): void {
    const head = this.#shared.readHead(bytes, end, this.#head);
    if (head === null) return void this.#handOver(bytes.subarray(0, end));
    this.#phase = 'waiting';
    this.#sinceMs = performance.now();
    this.#head = head;
    this.signal = head.signal;
    this.headers = head.headers;
    this.announcedBytes = head.bodyBytes;
    const bodyEnd = Math.min(end, head.bodyAt + head.bodyBytes);
    this.#body.begin(head.bodyBytes, bytes.subarray(head.bodyAt, bodyEnd));
    if (bodyEnd < end) this.#keep(bytes, bodyEnd, end);
    this.#shared.handle(this);
    // Not asked for yet, and the next read may go over it.
    if (this.#phase === 'waiting') this.#body.keepFirst();
  }

  #takeBody(length: number, buffer: Uint8Array): void {
    const taken = this.#body.take(length, buffer);
    if (taken < length) this.#keep(this.#shared.buffer, taken, length);
    if (!this.#body.isWhole) return;
    if (this.#phase === 'lingering') this.#socket.destroySoon();
    else if (this.#phase === 'dropping') this.#finish();
    else {
      this.#phase = 'work';
      this.#settle?.resolve(this.#body.view());
      this.#settle = null;
    }
  }

  /** Bytes after the request in work: nothing more is read until they had their turn. */
  #keep(bytes: Buffer, from: number, end: number): void {
    const more = bytes.subarray(from, end);
    this.#next = this.#next === null ? Buffer.from(more) : Buffer.concat([this.#next, more]);
  }

  #reply(status: number, more: Record<string, string> | null, body: Buffer, json: boolean): void {
    const { options, state, reply } = this.#shared;
    this.#closes ||= state.draining;
    this.#socket.write(reply(status, more, body, json, this.#closes));
    countAnswer(options, this.signal, status, this.#sinceMs);
  }

  /** The request is over. */
  #finish(): void {
    this.#body.free();
    if (this.#whenGone.length > 0) this.#whenGone.length = 0;
    // Of a request that was refused unread the answer may have gone before there was a close to tell of.
    if (this.#closes || this.#shared.state.draining) {
      this.#leave();
      this.#socket.destroySoon();
    } else if (this.#socket.writableNeedDrain) {
      // Who sends and never reads would fill the memory with answers.
      this.#phase = 'replying';
      this.#socket.once('drain', () => this.#rest());
    } else this.#rest();
  }

  #rest(): void {
    if (this.#phase === 'gone') return;
    this.#phase = 'idle';
    this.#sinceMs = performance.now();
    // Not at once: what the last request holds is given back after its answer.
    if (this.#next === null) this.#socket.resume();
    else setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    const bytes = this.#next;
    if (this.#phase !== 'idle' || bytes === null) return;
    this.#next = null;
    this.#begin(bytes, bytes.length);
    if (this.#mayRead()) this.#socket.resume();
  }

  #handOver(bytes: Buffer): void {
    const socket = this.#socket;
    this.#leave();
    socket.off('data', this.#onData).off('end', this.#onEnd).off('error', onError).off('close', this.#onClose);
    socket.pause();
    if (bytes.length > 0) socket.unshift(Buffer.from(bytes));
    this.#shared.handOver(socket);
    socket.resume();
  }

  #break(code: string): void {
    const isAnswered = this.#phase !== 'waiting' && this.#phase !== 'body';
    const isRefused = this.#phase === 'dropping';
    this.#leave();
    if (!this.#socket.writable) this.#socket.destroy();
    else if (isRefused) this.#socket.destroySoon();
    else answerBroken(this.#socket, code, isAnswered || isJson(this.headers), this.#shared.options.telemetry);
  }

  #leave(): void {
    this.#phase = 'gone';
    this.#shared.connections.delete(this);
  }

  /** Without a listener the end would not be told. Bytes come here only from a Node that does not know `onread`. */
  readonly #onData = (bytes: Buffer) => {
    if (this.#phase === 'gone') return;
    this.#shared.onUnfit();
    this.#handOver(bytes);
  };

  /** The client sends no more. */
  readonly #onEnd = () => {
    const isUnderWay = this.#phase === 'waiting' || this.#phase === 'work' || this.#phase === 'replying';
    if (!this.#body.isWhole && this.#phase !== 'lingering' && this.#phase !== 'gone')
      this.#break('HPE_INVALID_EOF_STATE');
    else if (isUnderWay) this.#closes = true;
    else this.#socket.destroySoon();
  };

  readonly #onClose = () => {
    this.#leave();
    this.#body.abandon();
    clearTimeout(this.#lingering);
    this.#settle?.reject(new AgentError('CLIENT_GONE', 'the client went away in the middle of the body'));
    this.#settle = null;
    for (const callback of this.#whenGone.splice(0)) callback();
  };
}

/** The close that follows says it. */
function onError(): void {}
