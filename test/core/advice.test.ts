/** Holds the warnings about what is valid and hardly meant, and that a usual configuration has none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspectConfig } from '../../src/config.ts';
import { adviceOf } from '../../src/core/advice.ts';
import { processors } from '../../src/processors/registry.ts';
import { sinks } from '../../src/sinks/registry.ts';
import { sinkConfig } from '../../src/sinks/sink.ts';

const components = { processors, sinks: sinks.map((sink) => ({ ...sink, config: sinkConfig(sink) })) };

function advice(text: string, found: number): string[] {
  const { config, faults } = inspectConfig({ text, file: 'agent.yaml', env: {}, ...components });
  assert.deepEqual(faults, []);
  assert.ok(config !== null);
  return adviceOf(config, found);
}

const SINK = 'sinks: [{ type: console, subscribe: [events] }]\n';
const DETECT = 'processors: [{ type: detect }]\n';

test('a usual configuration needs no advice', () => {
  assert.deepEqual(advice(`${SINK}${DETECT}contracts: [c/*.yaml]\n`, 1), []);
  assert.deepEqual(advice(SINK, 0), []);
  assert.deepEqual(advice('agent: { memory_limit: 100MiB }\n', 0), []);
});

test('what would be in vain is said, with the way out', () => {
  const cases: [text: string, found: number, said: RegExp][] = [
    [`${SINK}${DETECT}contracts: [c/*.yaml]\n`, 0, /no file is at .*c\/\*\.yaml/],
    [`${SINK}contracts: [c/*.yaml]\n`, 2, /no `detect` among the processors/],
    [`${SINK}agent: { shutdown: { serve_on: 30s, grace: 20s } }\n`, 0, /serve_on 30s leaves nothing of grace 20s/],
    [
      'agent: { memory_limit: 99MiB }\n',
      0,
      /memory_limit 99MiB has no room for requests of 20MiB, answered 503: raise it/,
    ],
  ];
  const loop = (http: string, url: string) =>
    `ingest: { http: ${http} }\nsinks: [{ type: otlp, endpoint: "${url}", subscribe: [raw] }]\n`;
  const again = /sink otlp sends to .*, where this agent listens: all of it comes again, without end/;
  cases.push([loop('{}', 'http://localhost:4318'), 0, again]);
  cases.push([loop('{ endpoint: ":80", insecure: true }', 'http://127.0.0.1'), 0, again]);
  cases.push([loop('{ endpoint: "10.0.0.1:4318", insecure: true }', 'http://10.0.0.1:4318'), 0, again]);
  const summaries = 'sinks: [{ type: kafka, brokers: ["a:1"], subscribe: { summaries: s } }]\n';
  cases.push([summaries, 0, /sink kafka takes summaries, and neither `summarize` nor `detect` .* none is made/]);
  assert.deepEqual(advice(`${summaries}${DETECT}`, 0), []);
  assert.deepEqual(advice(loop('{}', 'http://127.0.0.1:4319'), 0), []);
  assert.deepEqual(advice(loop('{}', 'http://gateway:4318'), 0), []);
  for (const [text, found, said] of cases) {
    const lines = advice(text, found);
    assert.equal(lines.length, 1, text);
    assert.match(lines[0] ?? '', said);
  }
});
