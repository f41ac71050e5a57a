/** Holds what `npm run fuzz` looks for, in short: everything it ever found, some thousand mutations, and fast-check's own bytes and JSON. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { SEED, seeded } from '../otlp/generate.ts';
import { startHttpTarget } from './http.ts';
import { httpSeeds, jsonSeeds, mutate, protobufSeeds } from './mutate.ts';
import { TARGETS } from './targets.ts';

const CORPUS = join(import.meta.dirname, 'corpus');
const RUNS = { numRuns: 1500, seed: SEED };
const targets = { wire: TARGETS.wire(), json: TARGETS.json() };

test('what was once found stays mended', async (t) => {
  const http = await startHttpTarget();
  t.after(() => http.server.close(5000));
  for (const file of readdirSync(CORPUS).filter((name) => name.endsWith('.bin'))) {
    const [name, signal] = file.split('-') as ['wire' | 'json' | 'http', Signal];
    const input = { signal, bytes: readFileSync(join(CORPUS, file)) };
    await (name === 'http' ? http.run(input) : targets[name](input));
  }
});

for (const [name, makeSeeds] of [
  ['wire', protobufSeeds],
  ['json', jsonSeeds],
] as const) {
  test(`${name}: mutated requests are taken or refused`, (t) => {
    const random = seeded(t, name.length);
    const seeds = makeSeeds(random, 60);
    const outcomes = { taken: 0, refused: 0 };
    for (let i = 0; i < 6000; i++) {
      const from = random.pick(seeds);
      outcomes[targets[name]({ signal: from.signal, bytes: mutate(random, from.bytes, seeds) })]++;
    }
    assert.ok(outcomes.taken > 100 && outcomes.refused > 100, JSON.stringify(outcomes));
  });

  test(`${name}: any bytes are taken or refused`, () => {
    const property = fc.property(fc.constantFrom(...SIGNALS), fc.uint8Array({ maxLength: 300 }), (signal, bytes) => {
      targets[name]({ signal, bytes: Buffer.from(bytes) });
    });
    fc.assert(property, RUNS);
  });
}

test('json: any JSON value is taken or refused, where the request stands and inside it', () => {
  const property = fc.property(fc.constantFrom(...SIGNALS), fc.jsonValue({ maxDepth: 6 }), (signal, value) => {
    const suffix = { traces: 'Spans', metrics: 'Metrics', logs: 'Logs' }[signal];
    for (const json of [
      value,
      { [`resource${suffix}`]: value },
      { [`resource${suffix}`]: [{ resource: { attributes: [{ key: 'k', value }] }, x: value }] },
    ])
      targets.json({ signal, bytes: Buffer.from(JSON.stringify(json)) });
  });
  fc.assert(property, RUNS);
});

test('http: mutated requests are answered or cut off, and the next one is served', async (t) => {
  const random = seeded(t, 9);
  const http = await startHttpTarget();
  t.after(() => http.server.close(5000));
  const seeds = httpSeeds(random, 40);
  for (let round = 0; round < 12; round++) {
    const inputs = Array.from({ length: 50 }, () => {
      const from = random.pick(seeds);
      return { signal: from.signal, bytes: mutate(random, from.bytes, seeds) };
    });
    await Promise.all(inputs.map(http.run));
  }
  const reply = await fetch(`${http.server.url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
  });
  assert.equal(reply.status, 200);
  assert.equal(http.server.admission.used, 0);
});
