/**
 * A sink that is dead until the journal holds gigabytes: memory meanwhile, a start over all of it, and how fast it drains while data goes on
 * coming in.
 *
 *   npm run bench:journal -- backlog [--gib 12] [--rate 20000]      --rate: spans a second while it drains; 0: as many as one connection brings
 */
import { startNode } from '../child.ts';
import { benchDirectory, LIGHT_KAFKA, LOAD, LOAD_CORE, type Subject, startSubject } from './subject.ts';

const GIB = 2 ** 30;
/** Most growth of resident memory from a backlog of 1 GiB to all of it. */
const MOST_GROWTH = 1.2;
const MOST_START_MS = 5000;
const LEAST_DRAIN = 2;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function benchBacklog(gib: number, rate: number): Promise<boolean> {
  const { directory, remove } = benchDirectory();
  const journal = { max_size: `${gib + 4}GiB`, look_back: '0s' };
  try {
    const port = await freePort();
    const broker = `127.0.0.1:${port}`;
    let subject = await startSubject(directory, journal, broker);
    const grown = await fill(subject, gib);
    subject.child.say('');
    process.kill(subject.child.pid, 'SIGKILL');
    await subject.child.exited;
    const began = performance.now();
    subject = await startSubject(directory, journal, broker);
    const startMs = performance.now() - began;
    console.log(`start over ${gib} GiB after kill -9: ready in ${Math.round(startMs)} ms, at most ${MOST_START_MS}`);
    const drained = await drain(subject, port, rate);
    await subject.child.stop(90_000);
    return grown <= MOST_GROWTH && startMs <= MOST_START_MS && drained >= LEAST_DRAIN;
  } finally {
    remove();
  }
}

async function freePort(): Promise<number> {
  const probe = startNode(LOAD_CORE, [LIGHT_KAFKA]);
  const [, port = ''] = await probe.line(/^ready \S+:(\d+)/);
  await probe.stop(5000);
  return Number(port);
}

/** Loads until the backlog is there; returns by how much memory grew since 1 GiB. */
async function fill(subject: Subject, gib: number): Promise<number> {
  const load = startLoad(subject, 8, 3600);
  let atOne = 0;
  let most = 0;
  for (let reached = 0; reached < gib * GIB; ) {
    await sleep(500);
    const { sinks } = await subject.status();
    reached = sinks.kafka?.lag_bytes ?? 0;
    const resident = subject.residentMb();
    if (atOne === 0 && reached >= GIB) atOne = resident;
    if (reached >= GIB) most = Math.max(most, resident);
  }
  process.kill(load.pid, 'SIGKILL');
  await load.exited;
  console.log(`backlog ${gib} GiB: RSS ${atOne.toFixed(0)} MB at 1 GiB, at most ${most.toFixed(0)} MB after`);
  return most / atOne;
}

/** Starts the sink, with load beside it, until the backlog is gone; returns drained over taken in, bytes. */
async function drain(subject: Subject, port: number, rate: number): Promise<number> {
  const kafka = startNode(LOAD_CORE, [LIGHT_KAFKA, '--port', String(port)]);
  await kafka.line(/^ready/);
  const first = await subject.status();
  const lag = first.sinks.kafka?.lag_items ?? 0;
  const load = startLoad(subject, rate === 0 ? 1 : 8, 3600, rate);
  const began = performance.now();
  let most = 0;
  for (let left = lag; left > lag * 0.02; left = (await subject.status()).sinks.kafka?.lag_items ?? 0) {
    await sleep(200);
    most = Math.max(most, subject.residentMb());
  }
  const seconds = (performance.now() - began) / 1000;
  const { ledger } = await subject.status();
  process.kill(load.pid, 'SIGKILL');
  await load.exited;
  await kafka.stop(5000);
  const taken = ledger.traces.received - first.ledger.traces.received;
  const delivered = lag * 0.98 + taken;
  console.log(
    `${rate === 0 ? 'closed loop' : `${rate} spans/s`}: drained ${(delivered / 1e6).toFixed(1)} M spans in ${seconds.toFixed(0)} s while ${(taken / 1e6).toFixed(1)} M came in: ` +
      `${(delivered / taken).toFixed(1)} times the intake, at least ${LEAST_DRAIN}; RSS at most ${most.toFixed(0)} MB`,
  );
  return delivered / taken;
}

function startLoad(subject: Subject, connections: number, seconds: number, rate = 0) {
  return startNode(LOAD_CORE, [
    LOAD,
    ...[
      '--url',
      subject.url,
      '--connections',
      String(connections),
      '--seconds',
      String(seconds),
      '--rate',
      String(rate),
    ],
  ]);
}
