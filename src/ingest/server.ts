/** OTLP over HTTP and HTTPS: serves, cuts what is slow or malformed, reloads certificates and tokens, drains. handle.ts answers requests. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { Lend } from '../core/lentBlock.ts';
import { readTokenText } from '../core/tokens.ts';
import { watchFiles } from '../core/watchFiles.ts';
import { Admission } from './admission.ts';
import { answerBroken } from './broken.ts';
import { type Front, startFront } from './front.ts';
import { createHandle, type Handle, type HandleOptions, type HandleState, isJson } from './handle.ts';
import { listen } from './listen.ts';
import { createRequestListener } from './nodeHttp.ts';
import { type BrokenStart, createTellStranger } from './strangers.ts';
import { readAllowPeer, readTls, type TlsFiles } from './tls.ts';
import { parseTokens } from './tokens.ts';

// Not by import, which reads every export of the module: of node:http that loads the fetch client, 75 modules of Node.
const { createServer } = process.getBuiltinModule('node:http');
const { createServer: createTlsServer } = process.getBuiltinModule('node:https');

export interface IngestOptions extends HandleOptions {
  /** HOST:PORT or unix:/PATH. */
  endpoint: string;
  inFlightBytes: number;
  waitingBytes: number;
  pressure(): string | null;
  tls: (TlsFiles & { reloadMs: number }) | null;
  /** Null: anyone may send. */
  tokenFile: string | null;
  /** A changed file was taken (null) or refused, and what was in use stays. */
  onReload(what: 'certificates' | 'tokens', error: Error | null): void;
  /** Requests that are written as exporters write them do not go through node:http: front.ts. Without TLS alone. */
  fastPath: boolean;
  /** A block for a large body on the fast path, or null. */
  lend?: Lend | undefined;
  /** This Node does not allow that. */
  onNoFastPath(): void;
  /** A client that speaks something else, in words for the log; left out where nobody reads it. */
  onStranger?: (message: string) => void;
  timeouts?: Partial<typeof TIMEOUTS>;
}

export interface IngestServer {
  /** http://HOST:PORT, https://HOST:PORT or unix:/PATH. */
  url: string;
  admission: Admission;
  /** Connections that are on the fast path now. */
  fastConnections(): number;
  /** Reads certificates and tokens again, now. */
  reload(): void;
  /** From now on every reply closes its connection. */
  startDraining(): void;
  /** Stops listening and waits for the replies under way, so long; then it cuts what is left. */
  close(withinMs: number): Promise<void>;
}

export const TIMEOUTS = {
  /** From the connection or the last reply's end to the last header. */
  headersMs: 10_000,
  /** From there to the last byte of the body: 20 MiB at 700 KB/s. */
  requestMs: 30_000,
  /** Longer than SDKs keep an idle connection, so that it is never us who closes under a request. */
  keepAliveMs: 75_000,
  checkMs: 1000,
};
const TOKENS_CHECK_MS = 10_000;
const SWEEP_MS = 50;
/** More are closed as they come: each costs memory that no budget sees. */
const MOST_CONNECTIONS = 4096;

export async function startIngest(options: IngestOptions): Promise<IngestServer> {
  const admission = new Admission({
    limitBytes: options.inFlightBytes,
    waitingBytes: options.waitingBytes,
    pressure: options.pressure,
    now: options.now,
  });
  const state: HandleState = {
    draining: false,
    tokens: readTokens(options.tokenFile),
    allowPeer: options.tls === null ? null : readAllowPeer(options.tls),
  };
  const server = createHttpServer(options);
  const handle = createHandle(options, state, admission);
  const listener = createRequestListener(options, state, handle);
  const open = new WeakMap<Duplex, OpenRequests>();
  const take = (expectsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
    follow(open, request, response);
    listener(request, response, expectsContinue);
  };
  server.on('request', take(false));
  server.on('checkContinue', take(true));
  // Any other expectation: nobody has to know it, and Node's own 417 has no Status.
  server.on('checkExpectation', take(false));
  const tellStranger = createTellStranger(options.onStranger ?? (() => {}), () => performance.now());
  server.on('clientError', (error: BrokenStart, socket) => {
    tellStranger(error, 'remoteAddress' in socket ? (socket as Socket).remoteAddress : undefined);
    answerClientError(error, socket, open, options);
  });
  const front = frontOf(server, handle, options, state);
  const watches = startWatches(options, state, server);
  const url = await listen(server, options.endpoint, options.tls === null ? 'http' : 'https');
  return {
    url,
    admission,
    fastConnections: () => front?.size ?? 0,
    reload() {
      for (const watch of watches) watch.check();
    },
    startDraining() {
      state.draining = true;
    },
    async close(withinMs) {
      state.draining = true;
      for (const watch of watches) watch.stop();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      front?.close();
      // Those that were answered since, in words that did not say it yet.
      const sweeping = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
      const late = new AbortController();
      await Promise.race([closed, setTimeout(withinMs, undefined, { signal: late.signal }).catch(() => undefined)]);
      late.abort();
      clearInterval(sweeping);
      // Whoever is not done by now would keep everybody waiting who has delivered, and comes again.
      server.closeAllConnections();
      front?.destroy();
    },
  };
}

/** Null: all connections are node:http's. */
function frontOf(server: Server | TlsServer, handle: Handle, options: IngestOptions, state: HandleState): Front | null {
  if (!options.fastPath || options.tls !== null) return null;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  return startFront(server, handle, { ...options, timeouts, onUnfit: options.onNoFastPath }, state);
}

function createHttpServer({ tls, timeouts }: IngestOptions): Server | TlsServer {
  const { headersMs, requestMs, keepAliveMs, checkMs } = { ...TIMEOUTS, ...timeouts };
  const settings = {
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: checkMs,
    // Else Node answers a missing Host itself, without the Status that OTLP asks for.
    requireHostHeader: false,
  };
  const server =
    tls === null
      ? createServer(settings)
      : createTlsServer({ ...settings, ...readTls(tls), handshakeTimeout: headersMs });
  server.maxConnections = MOST_CONNECTIONS;
  return server;
}

function readTokens(file: string | null) {
  return file === null ? null : parseTokens(readTokenText('ingest.http.auth.bearer_token_file', file), file);
}

function startWatches(options: IngestOptions, state: HandleState, server: Server | TlsServer) {
  const { tls, tokenFile, onReload } = options;
  const watch = (what: 'certificates' | 'tokens', files: string[], everyMs: number, apply: () => void) =>
    watchFiles(files, everyMs, apply, (error) => onReload(what, error));
  const watches = [];
  if (tls !== null && 'setSecureContext' in server) {
    const files = [tls.certFile, tls.keyFile, tls.clientCaFile, tls.clientSansFile].filter((file) => file !== '');
    const apply = () => {
      const [context, allowPeer] = [readTls(tls), readAllowPeer(tls)];
      server.setSecureContext(context);
      state.allowPeer = allowPeer;
    };
    watches.push(watch('certificates', files, tls.reloadMs, apply));
  }
  if (tokenFile !== null) {
    const apply = () => {
      state.tokens = readTokens(tokenFile);
    };
    watches.push(watch('tokens', [tokenFile], TOKENS_CHECK_MS, apply));
  }
  return watches;
}

/** Requests of a connection that are not answered yet, and the last of them. */
interface OpenRequests {
  count: number;
  last: IncomingMessage;
  response: ServerResponse;
}

function follow(open: WeakMap<Duplex, OpenRequests>, request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  const entry = open.get(socket) ?? { count: 0, last: request, response };
  entry.count++;
  entry.last = request;
  entry.response = response;
  open.set(socket, entry);
  response.once('close', () => entry.count--);
}

/** What Node's parser or its timers refuse. */
function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  open: WeakMap<Duplex, OpenRequests>,
  { telemetry }: IngestOptions,
): void {
  const entry = open.get(socket);
  // An answer now would be taken for that of a request that is still in work: those are cut off without one.
  const inWork = entry !== undefined && entry.count > 0 && (entry.count > 1 || entry.last.complete);
  if (!socket.writable || error.code === 'ECONNRESET' || inWork) {
    socket.destroy();
    return;
  }
  // Refused, and only lingering: there is one answer to a request.
  if (entry !== undefined && entry.count > 0 && entry.response.headersSent) {
    socket.end(() => socket.destroy());
    return;
  }
  const json = entry === undefined || entry.count === 0 || isJson(entry.last.headers);
  answerBroken(socket, error.code ?? '', json, telemetry);
}
