/** A service that breaks its contract on command, beside one that does not: what was sent of both, by span id. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requestType } from '../../src/otlp/schema.ts';
import { type AgentProcess, temporaryDirectory } from './agent.ts';
import type { Span } from './storage.ts';

const PER_BATCH = 20;

/** Spans with `app.bad` break it, others do not. */
const contract = (onBreach: string) => `
contract: v1
service: checkout
signals:
  - { name: errors, of: spans, bad: { app.bad: true }, breached: above 20% }
window: 5s
for: 0s
min_items: 10
on_breach: ${onBreach}
`;

/** A directory with that contract. */
export function prepareBreach(t: Parameters<typeof temporaryDirectory>[0], name: string, onBreach: string): string {
  const directory = temporaryDirectory(t, name);
  mkdirSync(join(directory, 'contracts'));
  writeFileSync(join(directory, 'contracts/checkout.yaml'), contract(onBreach));
  return directory;
}

export interface Sent {
  id: string;
  service: string;
  ms: number;
}

export class Sender {
  readonly sent: Sent[] = [];
  readonly #agent: () => AgentProcess;

  constructor(agent: () => AgentProcess) {
    this.#agent = agent;
  }

  async send(service: string, bad: boolean): Promise<void> {
    const type = requestType('traces');
    const nowMs = Date.now();
    const spans = Array.from({ length: PER_BATCH }, () => ({
      traceId: randomBytes(16),
      spanId: randomBytes(8),
      name: 'work',
      startTimeUnixNano: String(BigInt(nowMs) * 1_000_000n),
      endTimeUnixNano: String(BigInt(nowMs) * 1_000_000n),
      attributes: [{ key: 'app.bad', value: { boolValue: bad } }],
    }));
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: service } }] };
    const body = type.encode(type.fromObject({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })).finish();
    const headers = { 'content-type': 'application/x-protobuf' };
    const answer = await fetch(`${this.#agent().ingest}/v1/traces`, {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
    });
    await answer.arrayBuffer();
    assert.equal(answer.status, 200);
    for (const { spanId } of spans) this.sent.push({ id: spanId.toString('hex'), service, ms: nowMs });
  }

  async sendFor(ms: number, bad: boolean): Promise<void> {
    const end = Date.now() + ms;
    while (Date.now() < end) {
      await Promise.all([this.send('checkout', bad), this.send('other', false)]);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export interface Event {
  eventName?: string;
  timeUnixNano?: string;
  attributes?: {
    key: string;
    value: { stringValue?: string; intValue?: string; doubleValue?: number; boolValue?: boolean };
  }[];
}

export const keptOf = ({ attributes }: Span) =>
  attributes?.find(({ key }) => key === 'plumbline.kept')?.value?.stringValue;
export function assertOnce(spans: readonly Span[]): void {
  const ids = spans.map(({ spanId }) => spanId);
  assert.equal(new Set(ids).size, ids.length, 'an item stands twice');
}
