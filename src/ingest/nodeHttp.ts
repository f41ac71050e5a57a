/** Requests as node:http and node:https give them: which are exports, CORS, and how they are answered. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SIGNALS, type Signal } from '../core/block.ts';
import { readBody } from './accept.ts';
import { allowOrigin, answerPreflight } from './cors.ts';
import { countAnswer, type Exchange, type Handle, type HandleOptions, type HandleState, isJson } from './handle.ts';
import { type Refusal, sendRefusal, sendSuccess } from './replies.ts';

type RequestListener = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => void;

/** By RFC 9112, 3.2: what comes by way of proxies is else taken for another host's. */
const NO_HOST = { status: 400, message: 'malformed HTTP: a request of HTTP/1.1 has one Host header' };
const STRANGER = { status: 403, message: 'no name of the client certificate may send' };

export function createRequestListener(options: HandleOptions, state: HandleState, handle: Handle): RequestListener {
  const signals = new Map(SIGNALS.map((signal) => [options.paths[signal], signal]));
  const taken = SIGNALS.map((signal) => options.paths[signal]).join(', ');
  return (request, response, expectsContinue) => {
    const startMs = performance.now();
    const signal = signals.get(pathOf(request.url ?? '')) ?? null;
    if (state.draining) response.setHeader('connection', 'close');
    response.once('finish', () => countAnswer(options, signal, response.statusCode, startMs));
    if (!hasHost(request)) return sendRefusal(request, response, NO_HOST, isJson(request.headers));
    if (state.allowPeer?.(request.socket) === false)
      return sendRefusal(request, response, STRANGER, isJson(request.headers));
    if (signal === null) return sendRefusal(request, response, notFound(request, taken), isJson(request.headers));
    allowOrigin(options.cors, request, response);
    if (answerPreflight(options.cors, request, response)) return;
    handle(exchangeOf(request, response, signal, expectsContinue));
  };
}

function exchangeOf(
  request: IncomingMessage,
  response: ServerResponse,
  signal: Signal,
  expectsContinue: boolean,
): Exchange {
  return {
    signal,
    method: request.method,
    headers: request.headers,
    announcedBytes: Number(request.headers['content-length'] ?? 0),
    address: request.socket.remoteAddress ?? '',
    whenGone: (callback) => response.once('close', callback),
    proceed: () => expectsContinue && response.writeContinue(),
    readBody: (take) => readBody(request, take),
    // The chunks are the garbage collector's.
    freeBody: () => {},
    succeed: (body, json) => sendSuccess(response, body, json),
    refuse: (refusal, json) => sendRefusal(request, response, refusal, json),
  };
}

/** Node keeps the first of several. */
function hasHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts === 1 || (hosts === 0 && httpVersion !== '1.1');
}

/** The path without its query; also of the absolute form that proxies send. */
function pathOf(target: string): string {
  const path = target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '');
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}

function notFound({ url }: IncomingMessage, taken: string): Refusal {
  return { status: 404, message: `no such path: ${pathOf(url ?? '').slice(0, 100)}; known are ${taken}` };
}
