/** The port for operators: health, /metrics, /status and /contracts over HTTP. What it shows is handed in; it knows no other part. */
import fastify, { type FastifyInstance } from 'fastify';
import { formatEndpoint, parseEndpoint } from '../core/endpoint.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Telemetry } from '../core/telemetry.ts';
import { type Access, type AccessOptions, createAccess } from './access.ts';

/** One contract as /contracts shows it: at least its service. */
export interface ContractView {
  service: string;
  [key: string]: unknown;
}

export interface StatusSources extends AccessOptions {
  /** `HOST:PORT`; port 0 means any free one. */
  endpoint: string;
  telemetry: Telemetry;
  /** Brings gauges up to date; called before /metrics is rendered. */
  refresh(): void;
  status(): object;
  /** Why no data can be taken, for people; empty when it can. */
  reasons(): string[];
  contracts(): ContractView[];
  /** What became of a trace, by its id in lowercase hex. */
  trace(id: string): Promise<object>;
}

export interface StatusServer {
  /** `http://HOST:PORT` as bound. */
  url: string;
  /** Reads tokens again, now. */
  reload(): void;
  stop(): Promise<void>;
}

const PATHS = [
  '/metrics',
  '/health/live',
  '/health/ready',
  '/status',
  '/contracts',
  '/contracts/{service}',
  '/traces/{id}',
];

/** Listens on `endpoint`; throws ADDRESS_IN_USE when the port is taken, CONFIG_INVALID for a token file that is no good. */
export async function startStatus(sources: StatusSources): Promise<StatusServer> {
  const endpoint = parseEndpoint(sources.endpoint);
  if (endpoint === undefined)
    throw new AgentError('CONFIG_INVALID', `admin.endpoint "${sources.endpoint}" is no HOST:PORT`);
  const access = createAccess(sources);
  // Probes and scrapers keep connections open: they must not hold up a stop.
  const server = fastify({
    logger: false,
    forceCloseConnections: true,
    // No route has a schema: fastify's compilers, with a second ajv, need not be loaded.
    schemaController: { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } },
  });
  server.get('/', () => ({ paths: PATHS }));
  server.setNotFoundHandler(({ method, url }, reply) =>
    reply
      .code(404)
      .send({ error: `nothing answers ${method} ${url.slice(0, 100)}: known are GET ${PATHS.join(', ')}` }),
  );
  addOperation(server, sources);
  addContracts(server, sources.contracts);
  addTraces(server, sources.trace, access);
  try {
    await server.listen(endpoint);
  } catch (error) {
    access.stop();
    throw listenError(error, sources.endpoint);
  }
  // Not undefined and no path: the server has just bound a TCP port.
  const bound = server.addresses()[0] as { port: number };
  const url = `http://${formatEndpoint({ host: endpoint.host, port: bound.port })}`;
  return {
    url,
    reload: access.reload,
    stop() {
      access.stop();
      return server.close();
    },
  };
}

function noSchema(): never {
  throw new Error('the routes of the admin port have no schemas');
}

function addOperation(server: FastifyInstance, sources: StatusSources): void {
  const { registry } = sources.telemetry;
  server.get('/metrics', async (_request, reply) => {
    sources.refresh();
    return reply.type(registry.contentType).send(await registry.metrics());
  });
  // That this answers at all says that the event loop turns.
  server.get('/health/live', () => ({ live: true, reasons: [] }));
  server.get('/health/ready', (_request, reply) => {
    const reasons = sources.reasons();
    const ready = reasons.length === 0;
    return reply.code(ready ? 200 : 503).send({ ready, reasons });
  });
  server.get('/status', () => sources.status());
}

function addContracts(server: FastifyInstance, contracts: () => ContractView[]): void {
  server.get('/contracts', () => contracts());
  server.get<{ Params: { service: string } }>('/contracts/:service', (request, reply) => {
    const { service } = request.params;
    const found = contracts().filter((contract) => contract.service === service);
    if (found.length === 1) return reply.send(found[0]);
    // One service may have a contract for each namespace or environment.
    if (found.length > 1) return reply.code(300).send(found);
    const error = `no contract is for the service "${service}": /contracts lists those there are`;
    return reply.code(404).send({ error });
  });
}

function addTraces(server: FastifyInstance, trace: StatusSources['trace'], access: Access): void {
  server.get<{ Params: { id: string } }>('/traces/:id', async (request, reply) => {
    const { headers, hostname, socket } = request;
    const refusal = access.refusalOf(socket.remoteAddress ?? '', hostname, headers.authorization);
    if (refusal !== null) return reply.code(refusal.status).headers(refusal.headers).send({ error: refusal.error });
    const id = request.params.id.toLowerCase();
    if (!/^[0-9a-f]{32}$/.test(id))
      return reply.code(400).send({ error: `"${request.params.id}" is no trace id: 32 hex digits` });
    return reply.send(await trace(id));
  });
}

function listenError(error: unknown, endpoint: string): AgentError {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  const message =
    code === 'EADDRINUSE'
      ? `admin.endpoint ${endpoint} is taken: stop what listens there, or set another port (0 for any free one)`
      : `admin.endpoint ${endpoint} cannot be listened on: ${messageOf(error)}`;
  return new AgentError(code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'CONFIG_INVALID', message, { cause: error });
}
