/**
 * What the receiver does when it is not treated well: prints the figures and ends with status 1 when one is missed.
 *
 *   npm run bench:ingest -- --scenario bombs|idle|overload|noisy [--seconds 60]
 */
import { parseArgs } from 'node:util';
import { percentile } from '../statistics.ts';
import { type Subject, startSubject } from './agent.ts';
import { makeBombs } from './bombs.ts';
import { createPoster, holdConnections, sendLoad, startGood } from './client.ts';

const LIMIT_BYTES = 20 << 20;
const MIB = 1 << 20;
const IDLE_ROUNDS = 4;
const BASE = { http: { endpoint: '127.0.0.1:0', max_request_body_size: '20MiB' } };

const { values } = parseArgs({ options: { scenario: { type: 'string' }, seconds: { type: 'string', default: '60' } } });
const seconds = Number(values.seconds);
const misses: string[] = [];

/** Says a figure beside its bound and remembers when it is missed. */
function hold(what: string, figure: number, bound: number, unit: string, isUpper = true): void {
  const met = isUpper ? figure <= bound : figure >= bound;
  const line = `${what}: ${figure.toFixed(1)} ${unit} (${isUpper ? 'at most' : 'at least'} ${bound.toFixed(1)})`;
  console.log(`${met ? 'ok  ' : 'MISS'} ${line}`);
  if (!met) misses.push(line);
}

const sleep = (s: number) => new Promise((resolve) => setTimeout(resolve, s * 1000));
/** The good client's p99 may double or grow by 20 ms. */
const bounded = (p99: number) => Math.max(2 * p99, p99 + 20);

async function bombs(): Promise<void> {
  // Made before the good client is watched: it takes seconds, and both live in this process.
  const made = makeBombs();
  const subject = await startSubject(BASE);
  const good = startGood(subject.url);
  const poster = createPoster(subject.url, 4);
  await sleep(Math.min(10, seconds));
  const base = good.p99();
  console.log(
    `good client alone: p99 ${base.toFixed(1)} ms, ${Math.round(subject.residentBytes() / MIB)} MiB resident`,
  );
  for (const { name, body, headers, statuses, isHeavy } of made) {
    const before = subject.peakBytes();
    good.p99();
    for (let i = 0; i < 5; i++) {
      const { status } = await poster.post('/v1/traces', body, headers);
      if (!statuses.includes(status)) misses.push(`${name}: ${status} instead of ${statuses.join(' or ')}`);
    }
    await sleep(1);
    const longest = good.longest();
    hold(`${name}, memory`, (subject.peakBytes() - before) / MIB, (2 * LIMIT_BYTES) / MIB, 'MiB');
    if (isHeavy) hold(`${name}, longest request of the good client`, longest, 1000, 'ms');
    else hold(`${name}, p99 of the good client`, good.p99(), bounded(base), 'ms');
  }
  hold('requests of the good client that failed', good.failures, 0, '');
  await good.stop();
  poster.close();
  await subject.stop();
}

async function idle(): Promise<void> {
  const subject = await startSubject(BASE);
  const good = startGood(subject.url);
  const alone: number[] = [];
  const beside: number[] = [];
  // In turns, since a p99 of some hundred requests is what the machine does to five of them.
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    await sleep(2);
    good.latencies();
    await sleep(Math.min(8, seconds));
    alone.push(...good.latencies());
    const held = holdConnections(subject.url, 1000, 200);
    // Opening them is this process's work, too: the client is watched afterwards, and before half a request is cut off.
    await sleep(2);
    good.latencies();
    await sleep(Math.min(8, seconds));
    beside.push(...good.latencies());
    for (const socket of held) socket.destroy();
  }
  const bound = bounded(percentile(alone, 0.99));
  hold('p99 of the good client beside 1,000 idle and 200 half-sent connections', percentile(beside, 0.99), bound, 'ms');
  hold('requests of the good client that failed', good.failures, 0, '');
  await good.stop();
  await subject.stop();
}

async function overload(): Promise<void> {
  const subject = await startSubject({ ...BASE, admission: { in_flight: '32MiB', waiting: 'auto' } });
  await sendLoad(subject.url, 16, 512, Math.min(5, seconds), null);
  const peak = await sendLoad(subject.url, 16, 512, Math.min(15, seconds), null);
  const peakRate = peak.acceptedItems / peak.seconds;
  console.log(`peak: ${Math.round(peakRate)} spans/s over 16 connections`);
  const before = await settled(subject);
  subject.peakBytes();
  const load = await sendLoad(subject.url, 512, 512, seconds, (2 * peak.accepted) / peak.seconds);
  const total = [...load.statuses.values()].reduce((sum, count) => sum + count, 0);
  const refused = total - load.accepted;
  console.log(`answers: ${[...load.statuses].map(([status, count]) => `${status}: ${count}`).join(', ')}`);
  if (refused < total * 0.1)
    misses.push(`void: ${((refused / total) * 100).toFixed(1)} % refusals, it takes at least 10 %`);
  const strange = [...load.statuses.keys()].filter((status) => ![200, 429, 503].includes(status));
  hold('statuses other than 200, 429 and 503', strange.length, 0, '');
  hold('refusals without Retry-After', load.refusedWithoutRetryAfter, 0, '');
  hold('goodput', load.acceptedItems / load.seconds, 0.9 * peakRate, 'spans/s', false);
  hold('memory', subject.peakBytes() / MIB, 512, 'MiB');
  const after = await settled(subject);
  hold('spans that were acknowledged and are not in the journal', load.acceptedItems - (after - before), 0, '');
  await subject.stop();
}

async function settled(subject: Subject): Promise<number> {
  await sleep(1);
  return (await subject.ledger()).journalled;
}

async function noisy(): Promise<void> {
  const names = Array.from({ length: 10 }, (_, i) => `client-${i}`);
  const tokens = names.map((name) => `token-of-${name} name=${name}\n`).join('');
  const http = { ...BASE.http, auth: { bearer_token_file: 'DIR/tokens' } };
  const admission = { in_flight: '32MiB', waiting: 'auto' };
  const subject = await startSubject({ http, admission }, { tokens });
  const as = (name: string) => ({ authorization: `Bearer token-of-${name}` });
  const peak = await sendLoad(subject.url, 16, 512, Math.min(10, seconds), null, as('client-0'));
  // All ten together would take half of what there is.
  const each = peak.accepted / peak.seconds / 20;
  const quiet = names.slice(1);
  const send = () =>
    Promise.all(quiet.map((name) => sendLoad(subject.url, 16, 512, Math.min(20, seconds), each, as(name))));
  const rateOf = (loads: Awaited<ReturnType<typeof send>>) => loads.map((load) => load.acceptedItems / load.seconds);
  const alone = rateOf(await send());
  const noise = sendLoad(subject.url, 128, 512, Math.min(20, seconds), null, as('client-0'));
  const beside = rateOf(await send());
  const { statuses } = await noise;
  console.log(`the noisy one: ${[...statuses].map(([status, count]) => `${status}: ${count}`).join(', ')}`);
  const shares = quiet.map((_, i) => ((beside[i] ?? 0) / (alone[i] ?? 1)) * 100);
  hold('least rate of the other nine', Math.min(...shares), 90, '% of their own', false);
  await subject.stop();
}

const SCENARIOS: Record<string, () => Promise<void>> = { bombs, idle, overload, noisy };
const scenario = SCENARIOS[values.scenario ?? ''];
if (scenario === undefined) throw new Error(`--scenario is one of ${Object.keys(SCENARIOS).join(', ')}`);
await scenario();
for (const miss of misses) console.log(`missed: ${miss}`);
if (misses.length > 0) process.exitCode = 1;
