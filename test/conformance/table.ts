/** Runs the table against an agent that it starts, or against any other receiver, and says how each row went. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { SIGNALS, type Signal } from '../../src/core/block.ts';
import { type AgentProcess, startAgentProcess } from '../support/agent.ts';
import { readAllStored } from '../support/storage.ts';
import { ENVELOPES, type Json } from './messages.ts';
import { CannotRun, type Case, type OwnAgent, type OwnOptions, type Row } from './row.ts';

export interface Result {
  row: Row;
  outcome: 'pass' | 'fail' | 'not run';
  /** Why, for what is no pass: the first failing case. */
  reason: string;
  cases: number;
}

export interface TableOptions {
  rows: readonly Row[];
  /** Another receiver: rows that need a configuration are not run, and nothing is looked for at a sink. */
  url: string | null;
  /** Where agents keep their files. */
  directory: string;
  /** Off: all requests go through node:http. */
  fastPath: boolean;
  log(line: string): void;
}

interface Check {
  row: Row;
  c: Case;
  check(items: Json[]): void;
}

/** Everything of one run. */
interface Run {
  options: TableOptions;
  url: string;
  /** By their directory. */
  agents: { directory: string; agent: AgentProcess }[];
  /** By what they were asked for with. */
  shared: Map<string, Promise<OwnAgent>>;
  checks: Check[];
  failures: Map<Row, string[]>;
  cannot: Map<Row, string>;
  cases: Map<Row, number>;
}

/** Longer ones are named in the log. */
const SLOW_MS = 1500;

const BASE = {
  agent: { id: 'table', data_dir: './data' },
  admin: { endpoint: '127.0.0.1:0' },
  ingest: { http: { endpoint: '127.0.0.1:0' } },
  sinks: [
    { type: 'storage', subscribe: ['raw'], directory: './storage', compression: 'none', rotate: { every: '1s' } },
  ],
};

export async function runTable(options: TableOptions): Promise<Result[]> {
  const run: Run = {
    options,
    url: '',
    agents: [],
    shared: new Map(),
    checks: [],
    failures: new Map(),
    cannot: new Map(),
    cases: new Map(),
  };
  run.url = options.url ?? (await startAgent(run, join(options.directory, 'table'), '', {})).url;
  const rows = options.rows.filter((row) => options.url === null || !row.own);
  const slow = rows.filter((row) => row.slow).map((row) => runRow(run, row));
  for (const row of rows) if (!row.slow) await runRow(run, row);
  await Promise.all(slow);
  await Promise.all(run.agents.map(({ agent }) => agent.end('SIGTERM')));
  if (options.url === null) checkSinks(run);
  return options.rows.map((row): Result => {
    const cases = run.cases.get(row) ?? 0;
    if (cases === 0) return { row, outcome: 'not run', reason: 'it needs an agent of its own configuration', cases };
    const [reason = ''] = run.failures.get(row) ?? [];
    const cannot = run.cannot.get(row);
    if (cannot !== undefined && reason === '') return { row, outcome: 'not run', reason: cannot, cases };
    return { row, outcome: reason === '' ? 'pass' : 'fail', reason, cases };
  });
}

async function runRow(run: Run, row: Row): Promise<void> {
  // Those that mostly wait for agents of their own wait for them together.
  const together: Promise<void>[] = [];
  for (const signal of row.signals ?? SIGNALS) {
    for (const encoding of row.encodings ?? ['protobuf', 'json']) {
      const done = runCase(run, row, signal, encoding === 'json');
      if (row.own) together.push(done);
      else await done;
    }
  }
  await Promise.all(together);
}

async function runCase(run: Run, row: Row, signal: Signal, isJson: boolean): Promise<void> {
  const service = `${row.id} ${signal} ${isJson ? 'json' : 'protobuf'}`;
  const c: Case = {
    url: run.url,
    path: `/v1/${signal}`,
    signal,
    isJson,
    type: isJson ? 'application/json' : 'application/x-protobuf',
    service,
    fastPath: run.options.fastPath,
    own: (yaml, options = {}) => ownAgent(run, service, yaml, options),
    atSink: (check) => run.checks.push({ row, c, check }),
  };
  run.cases.set(row, (run.cases.get(row) ?? 0) + 1);
  const from = performance.now();
  try {
    await row.run(c);
  } catch (error) {
    if (error instanceof CannotRun) run.cannot.set(row, error.message);
    else fail(run, row, service, error);
  }
  const ms = performance.now() - from;
  if (ms > SLOW_MS && !row.slow) run.options.log(`${service}: ${(ms / 1000).toFixed(1)} s`);
}

function fail(run: Run, row: Row, service: string, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  const at = error instanceof Error ? (/\/conformance\/(\w+\.ts:\d+)/.exec(error.stack ?? '')?.[1] ?? '') : '';
  run.options.log(`${service}: ${text.slice(0, 1500)} (${at})`);
  run.failures.set(row, [...(run.failures.get(row) ?? []), `${service}: ${text.split('\n')[0]}`]);
}

function ownAgent(run: Run, service: string, yaml: string, options: OwnOptions): Promise<OwnAgent> {
  const directory = (name: string) => join(run.options.directory, name.replaceAll(' ', '-'));
  if (options.isAlone) return startAgent(run, directory(service), yaml, options);
  const key = JSON.stringify([yaml, options.files]);
  const shared = run.shared.get(key) ?? startAgent(run, directory(`shared ${run.shared.size}`), yaml, options);
  run.shared.set(key, shared);
  return shared;
}

async function startAgent(run: Run, directory: string, yaml: string, options: OwnOptions): Promise<OwnAgent> {
  const { files = {}, isBare = false } = options;
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const { ingest, ...rest } = BASE;
  const path = { ingest: { http: { fast_path: run.options.fastPath } } };
  const base = merge(isBare ? rest : { ...rest, ingest }, path);
  const config = merge(base, (parse(yaml) ?? {}) as Json);
  const agent = await startAgentProcess(directory, stringify(config));
  run.agents.push({ directory, agent });
  return {
    url: agent.ingest,
    pid: agent.pid,
    output: agent.output,
    async stop() {
      await agent.end('SIGTERM');
    },
    metrics: async () => (await fetch(`${agent.admin}/metrics`)).text(),
  };
}

function merge(base: Json, more: Json): Json {
  const merged: Json = { ...base };
  for (const [key, value] of Object.entries(more)) {
    const before = merged[key];
    const isMap = (one: unknown) => typeof one === 'object' && one !== null && !Array.isArray(one);
    merged[key] = isMap(before) && isMap(value) ? merge(before as Json, value as Json) : value;
  }
  return merged;
}

/** All agents have ended: what they stored lies in finished files. */
function checkSinks(run: Run): void {
  const directories = [...new Set(run.agents.map(({ directory }) => join(directory, 'storage')))];
  const bySignal = new Map(SIGNALS.map((signal) => [signal, storedItems(directories, signal)]));
  for (const { row, c, check } of run.checks) {
    try {
      check(bySignal.get(c.signal)?.get(c.service) ?? []);
    } catch (error) {
      fail(run, row, `${c.service}, at the sink`, error);
    }
  }
}

/** Items by the service.name of their resource, each with its resource's attributes. */
function storedItems(directories: readonly string[], signal: Signal): Map<string, Json[]> {
  const names = ENVELOPES[signal];
  const found = new Map<string, Json[]>();
  const listOf = (holder: Json | undefined, key: string) => (holder?.[key] ?? []) as Json[];
  for (const request of directories.flatMap((directory) => readAllStored(directory, 'raw', signal) as Json[])) {
    for (const resource of listOf(request, names.resources)) {
      const attributes = listOf(resource.resource as Json | undefined, 'attributes');
      const service = attributes.find(({ key }) => key === 'service.name')?.value as Json | undefined;
      const name = String(service?.stringValue ?? '');
      const items = listOf(resource, names.scopes).flatMap((scope) => listOf(scope, names.items));
      const withResource = items.map((item) => ({ ...item, resourceAttributes: attributes }));
      found.set(name, [...(found.get(name) ?? []), ...withResource]);
    }
  }
  return found;
}

/** One line a row. */
export function formatResult({ row, outcome, reason }: Result): string {
  const line = `${row.id.padEnd(4)} ${row.strength}  ${outcome.padEnd(7)}  ${row.request} -> ${row.expected}`;
  return outcome === 'pass' ? line : `${line}\n              ${reason}`;
}
