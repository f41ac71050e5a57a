/** OTLP over HTTP: routes, what is refused before a body is read, and the status code of every outcome. */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Encoding, type Signal } from '../core/block.ts';
import { formatEndpoint, parseEndpoint } from '../core/endpoint.ts';
import { AgentError, type ErrorCode, messageOf } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { statusBody, successBody } from '../otlp/reply.ts';
import { readBody, readClaim, type Submit } from './accept.ts';
import { type Admission, createAdmission } from './admission.ts';

export interface IngestOptions {
  endpoint: string;
  paths: Record<Signal, string>;
  maxBodyBytes: number;
  inFlightBytes: number;
  submit: Submit;
  /** Why nothing is taken right now, or null. */
  refusing(): string | null;
  telemetry: Telemetry;
  now(): number;
}

export interface IngestServer {
  url: string;
  admission: Admission;
  /** From now on every reply closes its connection. */
  startDraining(): void;
  /** Stops listening and waits for the replies under way. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const BODY_TIMEOUT_MS = 30_000;
/** Longer than SDKs keep an idle connection, so that it is never us who closes under a request. */
const KEEP_ALIVE_MS = 75_000;
const OTHER_METHODS = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** The one place that knows which code is which status. Retryable are 429, 502, 503 and 504 alone. */
export function httpStatusOf(code: ErrorCode): number {
  switch (code) {
    case 'BODY_TOO_LARGE':
      return 413;
    case 'BODY_UNDECODABLE':
      return 400;
    case 'OVERLOADED':
    case 'DRAINING':
    case 'JOURNAL_FULL':
    case 'JOURNAL_SYNC_FAILED':
    case 'JOURNAL_CLOSED':
      return 503;
    default:
      return 500;
  }
}

export async function startIngest(options: IngestOptions): Promise<IngestServer> {
  const app = fastify({
    logger: false,
    // Bodies are bounded as they are read, by readBody.
    bodyLimit: Number.MAX_SAFE_INTEGER,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: BODY_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    frameworkErrors: (_error, request, reply) => refuse(reply, 400, 'the URL cannot be read', isJson(request)),
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 1000 },
  });
  const admission = createAdmission(options.inFlightBytes, options.now);
  const state = { draining: false };
  // The handler reads the body itself, from the raw request.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  for (const signal of ['traces', 'metrics', 'logs'] as const) addRoutes(app, signal, options, admission, state);
  app.setNotFoundHandler((request, reply) =>
    refuse(reply, 404, `no such path: ${request.url.split('?')[0]?.slice(0, 100)}`, isJson(request)),
  );
  app.setErrorHandler((error: { statusCode?: number; message: string }, request, reply) => {
    // fastify's own 4xx are about the request: a Content-Type that is none, for example.
    const status = error.statusCode ?? 500;
    const isClients = status >= 400 && status < 500;
    options.telemetry.ingestRequests.inc({ signal: 'unknown', code: isClients ? status : 500 });
    refuse(reply, isClients ? status : 500, isClients ? error.message : 'internal error', isJson(request));
  });
  const url = await listen(app, options.endpoint);
  return {
    url,
    admission,
    startDraining() {
      state.draining = true;
    },
    close: () => app.close(),
  };
}

async function listen(app: FastifyInstance, text: string): Promise<string> {
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined) throw new AgentError('CONFIG_INVALID', `ingest.http.endpoint "${text}" is no host:port`);
  try {
    await app.listen(endpoint);
  } catch (cause) {
    const reason =
      (cause as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'is taken by another program' : messageOf(cause);
    throw new AgentError('ADDRESS_IN_USE', `${text} ${reason}: stop that program or set ingest.http.endpoint`, {
      cause,
    });
  }
  const address = app.server.address();
  if (address === null || typeof address === 'string') throw new AgentError('ADDRESS_IN_USE', `${text} has no address`);
  return `http://${formatEndpoint({ host: endpoint.host, port: address.port })}`;
}

function addRoutes(
  app: FastifyInstance,
  signal: Signal,
  options: IngestOptions,
  admission: Admission,
  state: { draining: boolean },
): void {
  const url = options.paths[signal];
  app.route({
    method: [...OTHER_METHODS],
    url,
    handler: (request, reply) => refuse(reply.header('allow', 'POST'), 405, 'use POST', isJson(request)),
  });
  app.post(url, async (request, reply) => {
    const startMs = performance.now();
    if (state.draining) reply.header('connection', 'close');
    await answer(request, reply, signal, options, admission);
    options.telemetry.ingestRequests.inc({ signal, code: reply.statusCode });
    options.telemetry.ingestSeconds.observe((performance.now() - startMs) / 1000);
    return reply;
  });
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  signal: Signal,
  options: IngestOptions,
  admission: Admission,
): Promise<void> {
  const claim = readClaim(request.headers['content-type'], request.headers['content-encoding']);
  const json = (claim.encoding & Encoding.json) !== 0;
  if (claim.refusal === 'content_type')
    return refuse(reply, 415, 'Content-Type must be application/x-protobuf or application/json', json);
  if (claim.refusal === 'content_encoding')
    return refuse(reply.header('accept-encoding', 'gzip'), 415, 'Content-Encoding must be gzip or identity', json);
  const refusing = options.refusing();
  if (refusing !== null) return refuseForNow(reply, refusing, admission, json);
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > options.maxBodyBytes) {
    return refuse(
      reply.header('connection', 'close'),
      413,
      `the body is over ${options.maxBodyBytes} bytes: raise ingest.http.max_request_body_size`,
      json,
    );
  }
  if (!admission.reserve(announced)) {
    return refuseForNow(
      reply,
      `${admission.used} bytes in flight, limit ${admission.limit}: raise ingest.admission.in_flight or add workers`,
      admission,
      json,
    );
  }
  const held = { bytes: announced };
  try {
    const body = await readBody(request.raw, options.maxBodyBytes, admission, held);
    const outcome = await options.submit({ signal, encoding: claim.encoding, ...body });
    if (outcome.kind === 'accepted') {
      reply
        .header('content-type', json ? 'application/json' : 'application/x-protobuf')
        .send(successBody(signal, outcome.rejected, json));
    } else refuseFor(reply, outcome.code, outcome.message, admission, json);
  } catch (error) {
    const code = error instanceof AgentError ? error.code : 'BODY_UNDECODABLE';
    // Bytes of the body may still be on their way: the connection cannot be used again.
    refuseFor(reply.header('connection', 'close'), code, messageOf(error), admission, json);
  } finally {
    admission.release(held.bytes);
  }
}

function refuseFor(reply: FastifyReply, code: ErrorCode, message: string, admission: Admission, json: boolean): void {
  const status = httpStatusOf(code);
  if (status === 503) refuseForNow(reply, message, admission, json);
  else refuse(reply, status, message, json);
}

function refuseForNow(reply: FastifyReply, message: string, admission: Admission, json: boolean): void {
  refuse(reply.header('retry-after', String(admission.retryAfterS())), 503, message, json);
}

function refuse(reply: FastifyReply, status: number, message: string, json: boolean): void {
  reply
    .code(status)
    .header('content-type', json ? 'application/json' : 'application/x-protobuf')
    .send(statusBody(message, status === 400, json));
}

/** Errors answer in the request's encoding; JSON where that is unknown. */
function isJson(request: FastifyRequest): boolean {
  return !/^application\/x-protobuf/i.test(request.headers['content-type'] ?? '');
}
