/** Handles one request: what is refused before a body is read, in order; then the body, and the answer to it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Encoding, SIGNALS, type Signal } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { successBody } from '../otlp/reply.ts';
import { ACCEPTED_CODINGS, readBody, readClaim, type Submit } from './accept.ts';
import type { Admission } from './admission.ts';
import { allowOrigin, answerPreflight, type CorsOptions } from './cors.ts';
import { inflatedBytes } from './inflated.ts';
import { type Refusal, refusalOf, sendRefusal, sendSuccess, unavailable } from './replies.ts';
import { ALL_SIGNALS, type Client, charge, quotaRetryAfterS, type Tokens } from './tokens.ts';

export interface HandleOptions {
  paths: Record<Signal, string>;
  maxBodyBytes: number;
  cors: CorsOptions;
  submit: Submit;
  /** Why nothing is taken right now, or null. */
  refusing(): string | null;
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
}

/** What is held while a request is under way. */
interface Held {
  name: string;
  bytes: number;
}

export type Handle = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => void;

export function createHandle(options: HandleOptions, state: HandleState, admission: Admission): Handle {
  const signals = new Map(SIGNALS.map((signal) => [options.paths[signal], signal]));
  return (request, response, expectsContinue) => {
    const startMs = performance.now();
    const signal = signals.get(pathOf(request.url ?? ''));
    if (state.draining) response.setHeader('connection', 'close');
    response.once('finish', () => {
      options.telemetry.ingestRequests.inc({ signal: signal ?? 'unknown', code: response.statusCode });
      if (signal !== undefined) options.telemetry.ingestSeconds.observe((performance.now() - startMs) / 1000);
    });
    if (signal === undefined) return sendRefusal(request, response, notFound(request), isJson(request));
    allowOrigin(options.cors, request, response);
    if (answerPreflight(options.cors, request, response)) return;
    const exchange: Exchange = { request, response, signal, expectsContinue };
    void answer(exchange, options, state, admission).catch((error: unknown) => {
      options.onFault(error);
      sendRefusal(request, response, { status: 500, message: 'internal error' }, isJson(request));
    });
  };
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  signal: Signal;
  expectsContinue: boolean;
}

/** Errors answer in the request's encoding; JSON where that is unknown. */
export function isJson(request: IncomingMessage): boolean {
  return !/^application\/x-protobuf/i.test(request.headers['content-type'] ?? '');
}

async function answer(
  exchange: Exchange,
  options: HandleOptions,
  state: HandleState,
  admission: Admission,
): Promise<void> {
  const { request, response, signal } = exchange;
  const claim = readClaim(request.headers['content-type'], request.headers['content-encoding']);
  const json = (claim.encoding & Encoding.json) !== 0;
  const client = clientOf(state.tokens, request);
  const announced = Number(request.headers['content-length'] ?? 0);
  const refusal =
    refuseMethod(request) ??
    refuseClient(client, signal) ??
    refuseClaim(claim.refusal) ??
    refuseState(options.refusing() ?? admission.pressure(), admission) ??
    refuseSize(announced, options.maxBodyBytes) ??
    refuseQuota(client, announced, options.now());
  if (refusal !== null || client === null) return sendRefusal(request, response, refusal ?? unauthenticated(), json);
  const held: Held = { name: client.name, bytes: announced };
  const admitted = admission.reserve(client.name, announced) || (await waitFor(exchange, admission, held));
  if (!admitted) {
    if (client.quota !== null) client.quota.level += announced;
    return sendRefusal(request, response, overBudget(admission), json);
  }
  try {
    if (exchange.expectsContinue) response.writeContinue();
    await answerBody(exchange, claim.encoding, options, admission, held, client);
  } finally {
    admission.release(held.name, held.bytes);
  }
}

async function answerBody(
  { request, response, signal }: Exchange,
  encoding: number,
  options: HandleOptions,
  admission: Admission,
  held: Held,
  client: Client,
): Promise<void> {
  const json = (encoding & Encoding.json) !== 0;
  const announced = held.bytes;
  try {
    const body = await readBody(request, (bytes) => takeMore(bytes, options.maxBodyBytes, admission, held));
    if (client.quota !== null && body.bytes > announced) charge(client.quota, body.bytes - announced, options.now());
    const inflated = inflatedBytes(encoding, body.chunks, body.bytes, options.maxBodyBytes);
    if (!growTo(admission, held, body.bytes + inflated)) throw overloaded(admission);
    const outcome = await options.submit({ signal, encoding, ...body });
    if (outcome.kind === 'accepted') sendSuccess(response, successBody(signal, outcome.rejected, json), json);
    else sendRefusal(request, response, refusalOf(outcome, admission.retryAfterS()), json);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    sendRefusal(request, response, refusalOf(error, admission.retryAfterS()), json);
  }
}

/** The path without its query; also of the absolute form that proxies send. */
function pathOf(target: string): string {
  const path = target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '');
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}

function clientOf(tokens: Tokens | null, request: IncomingMessage): Client | null {
  if (tokens !== null) return tokens.find(request.headers.authorization);
  return { name: request.socket.remoteAddress ?? '', signals: ALL_SIGNALS, quota: null };
}

function notFound({ url }: IncomingMessage): Refusal {
  return { status: 404, message: `no such path: ${pathOf(url ?? '').slice(0, 100)}` };
}

function refuseMethod({ method }: IncomingMessage): Refusal | null {
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
      return { status: 415, message: 'Content-Type must be application/x-protobuf or application/json' };
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
async function waitFor({ response }: Exchange, admission: Admission, held: Held): Promise<boolean> {
  const gone = new Promise((resolve) => response.once('close', resolve));
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
