/** Holds src/core/editorSchema.ts: what an editor says of agent.yaml and of contracts is what the agent takes. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { inspectConfig, schemaOfAgent, schemaOfContract } from '../../src/config.ts';
import { processors } from '../../src/processors/registry.ts';
import { sinks as kinds } from '../../src/sinks/registry.ts';
import { sinkConfig } from '../../src/sinks/sink.ts';

const ROOT = join(import.meta.dirname, '../..');
const sinks = kinds.map((sink) => ({ ...sink, config: sinkConfig(sink) }));
// As an editor has it: formats are the agent's own.
const ajv = new Ajv({ strict: false, validateFormats: false });
const agent = ajv.compile(schemaOfAgent(processors, sinks));
const contract = ajv.compile(schemaOfContract());

const STORAGE = 'sinks: [{ type: storage, subscribe: [raw], directory: x }]';
const env = { N: '2', YES: 'true', WORD: 'info' };
const TAKEN = [
  '{}',
  STORAGE,
  'processors: [{ type: detect }]',
  'agent: { workers: "${env:N}", log_level: "${env:WORD:-info}", memory_limit: "${env:M:-auto}" }',
  'ingest: { http: { insecure: "${env:YES:-false}", traces_url_path: "${env:PATH_OF:-/v1/traces}" } }',
  'journal: { durability: "${env:D:-written}", max_age: "${env:A:-none}" }',
  'processors: [{ type: flag, threshold: "${env:N}", warm_up: "${env:N}" }]',
  'sinks: [{ type: kafka, brokers: "a:9092,b:9092", acks: "${env:ACKS:-all}", subscribe: { sampled: spans } }]',
  'sinks: [{ type: kafka, brokers: "${env:B:-}", optional: "${env:YES}", subscribe: { sampled: spans } }]',
];

test('what the agent takes an editor takes, with variables where a number, a boolean or a word is asked for', () => {
  for (const text of TAKEN) {
    assert.deepEqual(inspectConfig({ text, file: 'f.yaml', env, processors, sinks }).faults, [], text);
    assert.ok(agent(parse(text)), `${text}: ${ajv.errorsText(agent.errors)}`);
  }
});

test('what the agent refuses an editor refuses, as far as a schema can say it', () => {
  const refused = [
    'agent: { worker: 2 }',
    'agent: { workers: "2" }',
    'agent: { log_level: inf }',
    'sinks: [{ type: "${env:WORD}" }]',
    'sinks: [{ type: kafka }]',
    'processors: [{ type: flag, threshold: high }]',
  ];
  for (const text of refused) {
    assert.notDeepEqual(inspectConfig({ text, file: 'f.yaml', env, processors, sinks }).faults, [], text);
    assert.ok(!agent(parse(text)), text);
  }
});

test('the files that come with the agent are what their schemas say; a contract has no variables', () => {
  for (const file of globSync('config/contracts/*.yaml', { cwd: ROOT }))
    assert.ok(contract(parse(readFileSync(join(ROOT, file), 'utf8'))), `${file}: ${ajv.errorsText(contract.errors)}`);
  assert.ok(agent(parse(readFileSync(join(ROOT, 'config/agent.yaml'), 'utf8'))), ajv.errorsText(agent.errors));
  const signals = [{ name: 'a', of: 'spans', bad: { status: 'error' }, breached: 'above 5%' }];
  assert.ok(contract({ contract: 'v1', service: 'shop', signals }));
  assert.ok(!contract({ contract: 'v1', service: 'shop', signals, no_data: '${env:WORD}' }));
});
