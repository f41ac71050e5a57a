/**
 * F0, the null receiver: the agent's HTTP front (fastify with a content-type parser of its own) that reads a body, throws it away and
 * answers 200. Run it with the agent's node flags; prints the agent's `ready` line.
 */
import { parseArgs } from 'node:util';
import fastify from 'fastify';

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
const app = fastify({ logger: false, bodyLimit: Number.MAX_SAFE_INTEGER, keepAliveTimeout: 75_000 });

app.removeAllContentTypeParsers();
app.addContentTypeParser('*', (_request, payload, done) => {
  payload.on('data', () => undefined);
  payload.on('end', () => done(null));
  payload.on('error', done);
});
for (const path of ['/v1/traces', '/v1/metrics', '/v1/logs']) {
  app.post(path, (_request, reply) => {
    reply.header('content-type', 'application/x-protobuf').send('');
  });
}

process.once('SIGTERM', () => process.exit(0));
await app.listen({ host: '127.0.0.1', port: Number(values.port) });
const address = app.server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;
console.log(`ready ingest=http://127.0.0.1:${port} admin=none`);
