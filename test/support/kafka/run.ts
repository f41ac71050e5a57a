/** `npm run kafka`: a real broker in the foreground, with the topics of the default configuration; `--port N`, default 9092. */
import { parseArgs } from 'node:util';
import { startBroker } from './broker.ts';

const TOPICS = ['otlp_spans', 'otlp_metrics', 'otlp_logs', 'plumbline_summaries', 'plumbline_events'];

const { values } = parseArgs({ options: { port: { type: 'string', default: '9092' } } });
const starting = startBroker({ topics: TOPICS, port: Number(values.port) });

async function stop(): Promise<void> {
  // Also a broker that is still starting has data to remove.
  await (await starting).stop();
  process.exit(0);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
const { address } = await starting;
console.log(`ready ${address}`);
