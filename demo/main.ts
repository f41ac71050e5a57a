/**
 * `npm run demo`: three services, an agent, a real broker when there is Java; steady traffic, an incident, recovery. Tells what is seen
 * at the sinks as it is seen; ends by itself. Exit status 0 only when the whole story was seen there.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { judgeSignal } from '../src/contracts/judge.ts';
import { addItems, newMemory } from '../src/contracts/memory.ts';
import { readContracts } from '../src/contracts/read.ts';
import { noAmounts } from '../src/contracts/window.ts';
import { requestType } from '../src/otlp/schema.ts';
import { startBroker, unavailable } from '../test/support/kafka/broker.ts';
import { requestsOf, type SeenEvent, watch } from './witness.ts';
import { type Ended, sendTraffic, setSlow, startAgent, startService } from './world.ts';

const PER_SECOND = 25;
const CALM_S = 20;
const INCIDENT_S = 22;
const RECOVERY_S = 30;
const SLOW_MS = 450;
/** Reports of the services reach the demo's judge well within this. */
const JUDGE_LAG_MS = 300;
const DIRECTORY = resolve('data/demo');

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const startMs = Date.now();
const say = (text: string) => {
  if (!values.json) process.stdout.write(`${((Date.now() - startMs) / 1000).toFixed(1).padStart(6)}s  ${text}\n`);
};
const pause = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  rmSync(DIRECTORY, { recursive: true, force: true });
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await play(undo);
  } finally {
    for (const end of undo.reverse()) await end();
  }
}

async function play(undo: (() => Promise<unknown>)[]): Promise<boolean> {
  const broker = await tryBroker(undo);
  const agent = await startAgent(DIRECTORY, broker);
  let agentRuns = true;
  const stopAgent = async () => {
    if (agentRuns) await agent.stop();
    agentRuns = false;
  };
  undo.push(stopAgent);
  say(`agent takes OTLP on ${agent.ingest}, tells of itself on ${agent.admin}`);
  const witness = await watch(join(DIRECTORY, 'storage'), broker, (event) =>
    say(`seen in ${broker === null ? 'storage' : 'Kafka'}: ${event.body}`),
  );
  undo.push(() => witness.stop());
  const judge = createJudge('checkout');
  undo.push(async () => judge.stop());
  const ignore = () => {};
  const inventory = await startService('inventory', '/stock', '', agent.ingest, ignore);
  const checkout = await startService('checkout', '/checkout', inventory.url, agent.ingest, judge.note);
  const storefront = await startService('storefront', '/', checkout.url, agent.ingest, ignore);
  const services = [storefront, checkout, inventory];
  undo.push(() => Promise.all(services.map((service) => service.stop())));
  say(`storefront -> checkout -> inventory, ${PER_SECOND} requests a second`);
  const stopTraffic = sendTraffic(storefront.url, PER_SECOND);
  await pause(CALM_S);
  say(`the incident: inventory becomes ${SLOW_MS} ms slower`);
  await setSlow(inventory, SLOW_MS);
  await pause(INCIDENT_S);
  say('inventory is itself again');
  await setSlow(inventory, 0);
  await pause(RECOVERY_S);
  const requests = await stopTraffic();
  await Promise.all(services.map((service) => service.stop()));
  const contracts = (await (await fetch(`${agent.admin}/contracts`)).json()) as { service: string; state: string }[];
  await pause(5);
  await stopAgent();
  await pause(1);
  return report({
    broker,
    requests,
    contracts,
    events: witness.events,
    kept: witness.kept,
    summaries: witness.summaries,
    crossingMs: judge.crossingMs(),
  });
}

async function tryBroker(undo: (() => Promise<unknown>)[]): Promise<string | null> {
  const missing = unavailable();
  if (missing !== null) {
    say(`without Kafka: ${missing}; the story is read from storage alone`);
    return null;
  }
  say('starting a real Kafka broker (the first time it fetches its jars)');
  const broker = await startBroker({
    topics: ['otlp_spans', 'otlp_metrics', 'otlp_logs', 'plumbline_summaries', 'plumbline_events'],
  });
  undo.push(() => broker.stop());
  return broker.address;
}

/** A judge of the demo's own over the times at which requests ended: when did the contract really break? */
function createJudge(service: string) {
  const { plans } = readContracts([join(import.meta.dirname, 'contracts', `${service}.yaml`)]);
  const contract = plans[0];
  const plan = contract?.signals.find(({ name }) => name === 'latency');
  if (plan === undefined) throw new Error(`no contract for ${service}`);
  const memory = newMemory(plan);
  let second = Math.floor(Date.now() / 1000);
  let crossingMs: number | null = null;
  const timer = setInterval(() => {
    while ((second + 1) * 1000 + JUDGE_LAG_MS <= Date.now()) {
      second++;
      const change = judgeSignal(plan, memory, second);
      if (change?.to === 'breached') crossingMs ??= second * 1000;
    }
  }, 50);
  return {
    note: ({ endMs, durationMs }: Ended) =>
      addItems(memory, endMs, { ...noAmounts(), items: 1, sum: durationMs > (plan.slowerThanMs ?? Infinity) ? 1 : 0 }),
    crossingMs: () => crossingMs,
    stop: () => clearInterval(timer),
  };
}

interface Story {
  broker: string | null;
  requests: number;
  contracts: { service: string; state: string }[];
  events: SeenEvent[];
  kept: Map<string, number>;
  summaries: number;
  crossingMs: number | null;
}

/** Tells the end and says whether all of it was seen. */
function report({ broker, requests, contracts, events, kept, summaries, crossingMs }: Story): boolean {
  const breach = events.find(
    ({ service, signal, state }) => service === 'checkout' && signal === 'latency' && state === 'breached',
  );
  const recovery = events.find(
    ({ service, state, judgedMs }) =>
      service === 'checkout' && state === 'healthy' && judgedMs > (breach?.judgedMs ?? Infinity),
  );
  const latencyMs = breach === undefined || crossingMs === null ? null : breach.seenMs - crossingMs;
  const exporterMs = breach === undefined || crossingMs === null ? null : breach.judgedMs - crossingMs;
  const rawSpans = countRawSpans(join(DIRECTORY, 'storage/raw/traces'));
  const checks = {
    'the breach of checkout was seen': breach !== undefined,
    'its recovery was seen': recovery !== undefined,
    'within 2 s of the true crossing': latencyMs !== null && latencyMs <= 2000,
    'slow traces were kept': (kept.get('slow') ?? 0) > 0,
    'a base sample was kept': (kept.get('base') ?? 0) > 0,
    'summaries were seen': summaries > 0,
    // Two server spans and two client spans for each request, and one of inventory.
    'every span is in storage': rawSpans >= requests * 4,
  };
  const seen = Object.values(checks).every(Boolean);
  const where = { storage: join(DIRECTORY, 'storage'), kafka: broker };
  const result = {
    seen,
    checks,
    requests,
    rawSpans,
    kept: Object.fromEntries(kept),
    latencyMs,
    exporterMs,
    contracts: contracts.map(({ service, state }) => ({ service, state })),
    where,
  };
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else tell(result);
  return seen;
}

function tell({
  checks,
  requests,
  rawSpans,
  kept,
  latencyMs,
  exporterMs,
  where,
}: {
  checks: Record<string, boolean>;
  requests: number;
  rawSpans: number;
  kept: Record<string, number>;
  latencyMs: number | null;
  exporterMs: number | null;
  where: { storage: string; kafka: string | null };
}): void {
  say(`${requests} requests; ${rawSpans} spans, all of them in ${where.storage}`);
  say(
    `kept: ${Object.entries(kept)
      .map(([reason, count]) => `${count} spans (${reason})`)
      .join(', ')}`,
  );
  if (latencyMs !== null)
    say(`first event ${latencyMs} ms after the true crossing, ${exporterMs} ms of it the exporters' batching`);
  if (where.kafka !== null)
    say(`in Kafka: otlp_spans, otlp_logs, plumbline_summaries, plumbline_events (the broker ends with the demo)`);
  for (const [what, isSo] of Object.entries(checks)) say(`${isSo ? 'yes' : 'NO '}  ${what}`);
}

function countRawSpans(directory: string): number {
  const type = requestType('traces');
  let spans = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((one) =>
    one.endsWith('.binpb'),
  )) {
    for (const request of requestsOf(readFileSync(join(directory, name)))) {
      const { resourceSpans } = type.toObject(type.decode(request)) as {
        resourceSpans?: { scopeSpans?: { spans?: unknown[] }[] }[];
      };
      for (const resource of resourceSpans ?? [])
        for (const scope of resource.scopeSpans ?? []) spans += scope.spans?.length ?? 0;
    }
  }
  return spans;
}
