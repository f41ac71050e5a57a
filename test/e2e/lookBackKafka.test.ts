/** A contract breaks: what its service sent in the minutes before, and sampling had dropped, is in a real broker within 10 s, nothing twice. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, startAgentProcess } from '../support/agent.ts';
import { assertOnce, type Event, keptOf, prepareBreach, Sender } from '../support/breach.ts';
import { type Broker, startBroker, unavailable } from '../support/kafka/broker.ts';
import { openReader } from '../support/kafka/reader.ts';
import { decodeRequest, type Span, spansOf } from '../support/storage.ts';

/** 130 is the two minutes of a look-back and what lies before them. */
const HISTORY_S = Number(process.env.PLUMBLINE_HISTORY_S ?? 20);
const LOOK_BACK_S = 120;
const WITHIN_MS = 10_000;
/** Between sending and receiving. */
const MARGIN_MS = 1000;

const yaml = (broker: string) => `
agent: { id: look-back, data_dir: ./data, shutdown: { serve_on: 0ms, grace: 20s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
contracts: [contracts/*.yaml]
processors:
  - { type: detect }
  - { type: sample, wait: 1s, base: 10%, keep: { rare: 0% } }
sinks:
  - { type: kafka, brokers: ["${broker}"], subscribe: { sampled: sampled, events: events } }
`;

let broker: Broker;

/** What lies in the two topics, decoded as it comes. */
async function follow() {
  const reader = await openReader(broker.address, ['sampled', 'events']);
  const spans: Span[] = [];
  const events: Event[] = [];
  let next = 0;
  return {
    spans,
    events,
    read() {
      for (; next < reader.records.length; next++) {
        const record = reader.records[next];
        if (record === undefined) continue;
        if (record.topic === 'sampled') spans.push(...spansOf([decodeRequest(record.value, 'traces')]));
        else events.push(...recordsOf(decodeRequest(record.value, 'logs')));
      }
    },
    event(name: string, isWanted: (event: Event) => boolean = () => true) {
      this.read();
      return events.find((event) => event.eventName === name && isWanted(event));
    },
    count: (topic: string) => reader.records.filter((record) => record.topic === topic).length,
    close: () => reader.close(),
  };
}

function recordsOf(request: object): Event[] {
  // Decoded by protobufjs: every field may be missing.
  const { resourceLogs = [] } = request as { resourceLogs?: { scopeLogs?: { logRecords?: Event[] }[] }[] };
  return resourceLogs.flatMap(({ scopeLogs = [] }) => scopeLogs.flatMap(({ logRecords = [] }) => logRecords));
}

const textOf = (event: Event, wanted: string) =>
  event.attributes?.find(({ key }) => key === wanted)?.value.stringValue ?? '';

describe('a look-back into Kafka', { skip: unavailable() ?? false }, () => {
  before(async () => {
    broker = await startBroker({ topics: ['sampled', 'events'] });
  });
  after(() => broker?.stop());

  it(`${HISTORY_S} s of a service before its breach are there within 10 s of it, marked, nothing twice`, async (t) => {
    const directory = prepareBreach(t, 'look-back-kafka', '{ look_back: 2m }');
    const agent = await startAgentProcess(directory, yaml(broker.address));
    t.after(() => agent.end('SIGKILL'));
    const topics = await follow();
    t.after(() => topics.close());
    const sender = new Sender(() => agent);
    await sender.sendFor(HISTORY_S * 1000, false);
    topics.read();
    const good = sender.sent.length;
    const keptBefore = new Set(topics.spans.map(({ spanId }) => spanId));
    // As sampled as it should be: a tenth, so that there is something to look back for.
    assert.ok(keptBefore.size > good * 0.05 && keptBefore.size < good * 0.15, `${keptBefore.size} of ${good}`);
    assert.ok(topics.spans.every((span) => keptOf(span) === 'base'));

    const breaking = sender.sendFor(6000, true);
    const breach = await eventually('the breach is in Kafka', 15_000, () =>
      topics.event('plumbline.contract.state_changed', (event) => textOf(event, 'contract.state') === 'breached'),
    );
    const breachMs = Number(BigInt(breach.timeUnixNano ?? 0) / 1_000_000n);
    const fromMs = breachMs - LOOK_BACK_S * 1000;
    const wanted = sender.sent
      .slice(0, good)
      .filter(({ service, ms }) => service === 'checkout' && ms > fromMs + MARGIN_MS);
    const have = new Set<unknown>();
    let seen = 0;
    await eventually('what came before it', WITHIN_MS, () => {
      topics.read();
      for (; seen < topics.spans.length; seen++) have.add(topics.spans[seen]?.spanId);
      return wanted.every(({ id }) => have.has(id)) ? true : undefined;
    });
    const tookMs = Date.now() - breachMs;
    t.diagnostic(`${wanted.length} spans of ${HISTORY_S} s complete ${(tookMs / 1000).toFixed(1)} s after the breach`);
    assert.ok(tookMs < WITHIN_MS, `${tookMs} ms`);
    await breaking;

    const told = await eventually('it is told', WITHIN_MS, () => topics.event('plumbline.look_back'));
    assert.equal(await agent.end('SIGTERM'), 0);
    await eventually('the rest of it', WITHIN_MS, async () => {
      const ends = await broker.administer((admin) => admin.fetchTopicOffsets('sampled'));
      const count = ends.reduce((sum, { high }) => sum + Number(high), 0);
      topics.read();
      return topics.count('sampled') >= count || undefined;
    });
    assertOnce(topics.spans);
    const sent = new Map(sender.sent.map((one) => [one.id, one]));
    const lookedBack = topics.spans.filter((span) => keptOf(span) === 'look_back');
    const items = told.attributes?.find(({ key }) => key === 'items')?.value.intValue;
    // A tenth of what was not decided yet it decides as base.
    const said = `${lookedBack.length} of ${items}`;
    assert.ok(lookedBack.length <= Number(items) && lookedBack.length > Number(items) * 0.95, said);
    for (const { spanId } of lookedBack) {
      const one = sent.get(String(spanId));
      assert.equal(one?.service, 'checkout', 'another service was looked back for');
      assert.ok(one.ms > fromMs - MARGIN_MS, `one of ${breachMs - one.ms} ms before the breach`);
    }
    // What is there of the history was kept by its share, or is marked.
    const marks = new Map(topics.spans.map((span) => [String(span.spanId), keptOf(span)]));
    for (const { id } of wanted)
      assert.ok(['base', 'look_back'].includes(marks.get(id) ?? ''), `${id}: ${marks.get(id)}`);
    const others = sender.sent.slice(0, good).filter(({ service }) => service === 'other');
    const othersKept = others.filter(({ id }) => marks.has(id)).length;
    assert.ok(
      othersKept > others.length * 0.05 && othersKept < others.length * 0.15,
      `${othersKept} of ${others.length}`,
    );
  });
});
