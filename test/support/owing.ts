/** The oracle of what is owed: clients that hand out span ids, and note an id as owed only when its request was answered 200. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { requestType } from '../../src/otlp/schema.ts';

/** Sends requests of spans with ids of its own until it is stopped; notes what is owed. */
export class Client {
  readonly owed = new Set<string>();
  readonly sent: Set<string>;
  /** Requests that were answered 503. */
  refused = 0;
  /** What the next request waits for. */
  gate: Promise<void> = Promise.resolve();
  #stopped = false;
  readonly #done: Promise<void>;
  readonly #padding: number;
  readonly #pauseMs: number;
  readonly #spans: number;

  /** `padding`: bytes that make each request larger. `pauseMs`: between an answer and the next request. `spans`: in a request. */
  constructor(url: string, sent: Set<string>, { padding = 0, pauseMs = 0, spans = 25 } = {}) {
    this.sent = sent;
    this.#padding = padding;
    this.#pauseMs = pauseMs;
    this.#spans = spans;
    this.#done = this.#run(url);
  }

  async #run(url: string): Promise<void> {
    while (!this.#stopped) {
      await this.gate;
      const ids = Array.from({ length: this.#spans }, () => randomBytes(8).toString('hex'));
      for (const id of ids) this.sent.add(id);
      try {
        const answer = await fetch(`${url}/v1/traces`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-protobuf' },
          body: requestOf(ids, this.#padding),
        });
        await answer.arrayBuffer();
        if (answer.status === 200) for (const id of ids) this.owed.add(id);
        else {
          assert.equal(answer.status, 503, 'under load and kills only 200 and 503 are right');
          this.refused++;
        }
      } catch (error) {
        // The agent was killed while it answered: nothing is owed. Anything but a broken connection is a fault of the test.
        if (!(error instanceof TypeError)) throw error;
        return;
      }
      if (this.#pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    }
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.#done;
  }
}

function requestOf(ids: string[], padding: number): Uint8Array<ArrayBuffer> {
  const type = requestType('traces');
  const now = BigInt(Date.now()) * 1_000_000n;
  const spans = ids.map((id) => ({
    traceId: Buffer.concat([randomBytes(8), Buffer.from(id, 'hex')]),
    spanId: Buffer.from(id, 'hex'),
    // Several groups, durations and outcomes, so that summaries have something to be wrong about.
    name: `work ${Number.parseInt(id[0] as string, 16) % 3}`,
    kind: 2,
    status: { code: id[1] === '0' ? 2 : 0 },
    startTimeUnixNano: String(now),
    endTimeUnixNano: String(now + BigInt(1 + Number.parseInt(id.slice(2, 4), 16)) * 1_000_000n),
    attributes: padding > 0 ? [{ key: 'padding', value: { stringValue: 'x'.repeat(padding / ids.length) } }] : [],
  }));
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'killed' } }] };
  return new Uint8Array(
    type.encode(type.fromObject({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })).finish(),
  );
}

/** Everything owed was found, and nothing that was never sent. */
export function checkIds(what: string, found: readonly string[], owed: Set<string>, sent: Set<string>): void {
  const have = new Set(found);
  const missing = [...owed].filter((id) => !have.has(id));
  const invented = [...have].filter((id) => !sent.has(id));
  // One stretch at the end is a reader that gave up, many are something else.
  const order = [...owed];
  const where =
    missing.length === 0
      ? ''
      : `, missing from ${order.indexOf(missing[0] as string)} to ${order.lastIndexOf(missing.at(-1) as string)} of ${order.length}`;
  const counts = { missing: missing.length, invented: invented.length };
  assert.deepEqual(counts, { missing: 0, invented: 0 }, `${what}: ${JSON.stringify(counts)}${where}`);
}
