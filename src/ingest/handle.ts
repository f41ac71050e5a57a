/** Handles one request, however it came: what is refused before a body is read, in order; then the body, and the answer to it. */
import { setTimeout } from 'node:timers/promises';
import { Encoding, type Signal } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { successBody } from '../otlp/reply.ts';
import { ACCEPTED_CODINGS, type Body, readClaim, type Submit } from './accept.ts';
import type { Admission } from './admission.ts';
import type { CorsOptions } from './cors.ts';
import { inflatedBytes } from './inflated.ts';
import { type Refusal, refusalOf, unavailable } from './replies.ts';
import type { AllowPeer } from './tls.ts';
import { ALL_SIGNALS, type Client, charge, quotaRetryAfterS, type Tokens } from './tokens.ts';

export interface HandleOptions {
  paths: Record<Signal, string>;
  maxBodyBytes: number;
  cors: CorsOptions;
  submit: Submit;
  /** Something threw that nobody expected: for the log. */
  onFault(error: unknown): void;
  telemetry: Telemetry;
  now(): number;
}

/** What changes while the server runs. */
export interface HandleState {
  draining: boolean;
  /** Null: anyone may send. */
  tokens: Tokens | null;
  /** Null: whoever TLS lets in. */
  allowPeer: AllowPeer | null;
}

/** The headers that are looked at here. */
export interface RequestHeaders {
  'content-type'?: string | undefined;
  'content-encoding'?: string | undefined;
  authorization?: string | undefined;
}

/** A request on one of the three paths, and the way to answer it; nodeHttp.ts and front.ts each have one. */
export interface Exchange {
  readonly signal: Signal;
  readonly method: string | undefined;
  readonly headers: RequestHeaders;
  /** As the head says; 0 when it says nothing. */
  readonly announcedBytes: number;
  /** The client's; empty over a Unix socket. */
  readonly address: string;
  /** Told when the connection is gone, whether or not there was an answer. */
  whenGone(callback: () => void): void;
  /** Says 100 to a client that waits for it. */
  proceed(): void;
  /** The body, at once when it is there already; rejects as accept.ts says. */
  readBody(take: (bytes: number) => AgentError | null): Body | Promise<Body>;
  /** The body's bytes are not looked at any more. */
  freeBody(): void;
  succeed(body: Buffer, json: boolean): void;
  /** Does nothing when there was an answer already, or the client has gone. */
  refuse(refusal: Refusal, json: boolean): void;
}

/** What is held while a request is under way. */
interface Held {
  name: string;
  bytes: number;
}

export type Handle = (exchange: Exchange) => void;

export function createHandle(options: HandleOptions, state: HandleState, admission: Admission): Handle {
  return (exchange) =>
    void answer(exchange, options, state, admission).catch((error: unknown) => {
      options.onFault(error);
      exchange.refuse({ status: 500, message: 'internal error' }, isJson(exchange.headers));
    });
}

/** Counts a request that was answered; `startMs` is by performance.now(). */
export function countAnswer({ telemetry }: HandleOptions, signal: Signal | null, code: number, startMs: number): void {
  telemetry.ingestRequests.inc({ signal: signal ?? 'unknown', code });
  if (signal !== null) telemetry.ingestSeconds.observe((performance.now() - startMs) / 1000);
}

/** Errors answer in the request's encoding; JSON where that is unknown. */
export function isJson(headers: RequestHeaders): boolean {
  return !/^application\/x-protobuf/i.test(headers['content-type'] ?? '');
}

async function answer(
  exchange: Exchange,
  options: HandleOptions,
  state: HandleState,
  admission: Admission,
): Promise<void> {
  const { headers, signal } = exchange;
  const claim = readClaim(headers['content-type'], headers['content-encoding']);
  const json = (claim.encoding & Encoding.json) !== 0;
  const client = clientOf(state.tokens, exchange);
  const announced = exchange.announcedBytes;
  const refusal =
    refuseMethod(exchange) ??
    refuseClient(client, signal) ??
    refuseClaim(claim.refusal) ??
    refuseState(admission.pressure(), admission) ??
    refuseSize(announced, options.maxBodyBytes) ??
    refuseQuota(client, announced, options.now());
  if (refusal !== null || client === null) return exchange.refuse(refusal ?? unauthenticated(), json);
  const held: Held = { name: client.name, bytes: announced };
  const admitted = admission.reserve(client.name, announced) || (await waitFor(exchange, admission, held));
  if (!admitted) {
    if (client.quota !== null) client.quota.level += announced;
    const pause = admission.pauseMs();
    if (pause > 0) await setTimeout(pause, undefined, { ref: false });
    return exchange.refuse(overBudget(admission), json);
  }
  try {
    exchange.proceed();
    await answerBody(exchange, claim.encoding, options, admission, held, client);
  } finally {
    admission.release(held.name, held.bytes);
  }
}

async function answerBody(
  exchange: Exchange,
  encoding: number,
  options: HandleOptions,
  admission: Admission,
  held: Held,
  client: Client,
): Promise<void> {
  const { signal } = exchange;
  const json = (encoding & Encoding.json) !== 0;
  const announced = held.bytes;
  try {
    const reading = exchange.readBody((bytes) => takeMore(bytes, options.maxBodyBytes, admission, held));
    // Without a detour over the microtasks when it is there: the front lends a body out of memory that its next read fills again.
    const body = reading instanceof Promise ? await reading : reading;
    if (client.quota !== null && body.bytes > announced) charge(client.quota, body.bytes - announced, options.now());
    const inflated = inflatedBytes(encoding, body.chunks, body.bytes, options.maxBodyBytes);
    if (!growTo(admission, held, body.bytes + inflated)) throw overloaded(admission);
    const { chunks, bytes, lent = null } = body;
    const submitted = options.submit({ signal, encoding, chunks, bytes, lent });
    exchange.freeBody();
    const outcome = await submitted;
    if (outcome.kind === 'accepted') exchange.succeed(successBody(signal, outcome, json), json);
    else exchange.refuse(refusalOf(outcome, admission.retryAfterS()), json);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    exchange.refuse(refusalOf(error, admission.retryAfterS()), json);
  }
}

function clientOf(tokens: Tokens | null, { headers, address }: Exchange): Client | null {
  if (tokens !== null) return tokens.find(headers.authorization);
  return { name: address, signals: ALL_SIGNALS, quota: null };
}

function refuseMethod({ method }: Exchange): Refusal | null {
  return method === 'POST' ? null : { status: 405, message: 'use POST', headers: { allow: 'POST' } };
}

function unauthenticated(): Refusal {
  const headers = { 'www-authenticate': 'Bearer' };
  return { status: 401, message: 'a valid bearer token is needed in the Authorization header', headers };
}

function refuseClient(client: Client | null, signal: Signal): Refusal | null {
  if (client === null) return unauthenticated();
  if (client.signals.has(signal)) return null;
  return { status: 403, message: `this token may not send ${signal}` };
}

function refuseClaim(refusal: 'content_type' | 'content_encoding' | null): Refusal | null {
  switch (refusal) {
    case null:
      return null;
    case 'content_type':
      return {
        status: 415,
        message: 'Content-Type must be application/x-protobuf or application/json',
        headers: { accept: 'application/x-protobuf, application/json' },
      };
    case 'content_encoding': {
      const headers = { 'accept-encoding': ACCEPTED_CODINGS };
      return { status: 415, message: `Content-Encoding must be one of ${ACCEPTED_CODINGS}, or identity`, headers };
    }
  }
}

function refuseState(reason: string | null, admission: Admission): Refusal | null {
  return reason === null ? null : unavailable(reason, admission.retryAfterS());
}

function refuseSize(announced: number, maxBytes: number): Refusal | null {
  return announced <= maxBytes ? null : { status: 413, message: tooLarge(maxBytes) };
}

function refuseQuota(client: Client | null, bytes: number, nowMs: number): Refusal | null {
  if (client === null || client.quota === null || charge(client.quota, bytes, nowMs)) return null;
  return {
    status: 429,
    message: `${client.name} has used up its quota of ${client.quota.rate} bytes a second`,
    headers: { 'retry-after': String(quotaRetryAfterS(client.quota)) },
  };
}

function tooLarge(maxBytes: number): string {
  return `the body is over ${maxBytes} bytes: raise ingest.http.max_request_body_size`;
}

function overBudget(admission: Admission): Refusal {
  return unavailable(overloaded(admission).message, admission.retryAfterS());
}

function overloaded({ used, limit }: Admission): AgentError {
  const message = `${used} bytes in flight, limit ${limit}: raise ingest.admission.in_flight or add workers`;
  return new AgentError('OVERLOADED', message, { retryable: true });
}

/** True when room came before WAIT_MS and before the client went away. */
function waitFor(exchange: Exchange, admission: Admission, held: Held): Promise<boolean> {
  const gone = new Promise<void>((resolve) => exchange.whenGone(resolve));
  return admission.wait(held.name, held.bytes, gone);
}

/** A body may be longer than announced (chunked): reserves what is missing. */
function takeMore(bytes: number, maxBytes: number, admission: Admission, held: Held): AgentError | null {
  if (bytes > maxBytes) return new AgentError('BODY_TOO_LARGE', tooLarge(maxBytes));
  return growTo(admission, held, bytes) ? null : overloaded(admission);
}

function growTo(admission: Admission, held: Held, bytes: number): boolean {
  const more = bytes - held.bytes;
  if (more <= 0) return true;
  if (!admission.grow(held.name, held.bytes, more)) return false;
  held.bytes = bytes;
  return true;
}
