/** CORS for browsers that export telemetry: which origins may, and the answer to a preflight. https://fetch.spec.whatwg.org/#http-cors-protocol */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface CorsOptions {
  /** Exactly as browsers send them, or `*`. Empty: no CORS. */
  allowedOrigins: readonly string[];
  /** Beside those that OTLP needs. */
  allowedHeaders: readonly string[];
  maxAgeS: number;
}

const OTLP_HEADERS = ['content-type', 'content-encoding', 'authorization'];

/** Says to the browser that a page of this origin may read the reply; says nothing about any other origin. */
export function allowOrigin(options: CorsOptions, request: IncomingMessage, response: ServerResponse): void {
  if (options.allowedOrigins.length === 0) return;
  response.setHeader('vary', 'Origin');
  const { origin } = request.headers;
  if (origin !== undefined && isAllowed(options, origin)) response.setHeader('access-control-allow-origin', origin);
}

/** Answers a preflight; false when this is none or CORS is off. */
export function answerPreflight(options: CorsOptions, request: IncomingMessage, response: ServerResponse): boolean {
  const { origin } = request.headers;
  const isPreflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
  if (!isPreflight || options.allowedOrigins.length === 0) return false;
  if (origin !== undefined && isAllowed(options, origin)) {
    response.setHeader('access-control-allow-methods', 'POST');
    response.setHeader('access-control-allow-headers', [...OTLP_HEADERS, ...options.allowedHeaders].join(', '));
    response.setHeader('access-control-max-age', String(options.maxAgeS));
  }
  response.writeHead(204).end();
  return true;
}

function isAllowed({ allowedOrigins }: CorsOptions, origin: string): boolean {
  return allowedOrigins.includes(origin) || allowedOrigins.includes('*');
}
