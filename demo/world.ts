/** What the demo runs: an agent, three services, a stream of requests; all child processes of its own, ended by their handles. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** When a request of a service ended, as the service itself saw it. */
export interface Ended {
  endMs: number;
  durationMs: number;
  failed: boolean;
}

export interface Service {
  url: string;
  stop(): Promise<void>;
}

export interface AgentHandle {
  ingest: string;
  admin: string;
  stop(): Promise<void>;
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

export function agentYaml(directory: string, brokers: string | null): string {
  const kafka = `
  - type: kafka
    brokers: ["${brokers}"]
    subscribe: { sampled: "otlp_{signal}", summaries: plumbline_summaries, events: plumbline_events }`;
  return `agent: { id: demo, data_dir: ${directory}, shutdown: { serve_on: 0ms, grace: 15s }, log_level: warn }
admin: { endpoint: "127.0.0.1:0" }
ingest: { http: { endpoint: "127.0.0.1:0" } }
journal: { segment_size: 24MiB, max_size: 512MiB }
contracts: ["${here('./contracts')}/*.yaml"]
processors:
  - { type: summarize, every: 5s }
  - { type: detect, every: 5s }
  - { type: sample, wait: 3s, base: 10% }
sinks:
  - { type: storage, subscribe: [raw, sampled, summaries, events], directory: ${directory}/storage, rotate: { every: 1s }, compression: none }${brokers === null ? '' : kafka}
`;
}

export async function startAgent(directory: string, brokers: string | null): Promise<AgentHandle> {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, agentYaml(directory, brokers));
  const child = spawn(process.execPath, [here('../src/main.ts'), 'run', '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit').then(([status]) => Promise.reject(new Error(`the agent ended with ${status}`)));
  exited.catch(() => {});
  const line = await Promise.race([firstLine(child), exited]);
  const found = /ingest=(\S+) admin=(\S+)/.exec(line);
  if (found === null) throw new Error(`the agent said "${line}"`);
  return { ingest: found[1] as string, admin: found[2] as string, stop: () => stopped(child) };
}

function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no stdout');
  return once(createInterface(child.stdout), 'line').then(([line]) => String(line));
}

/** `downstream` is the URL the service calls, or empty. */
export async function startService(
  name: string,
  route: string,
  downstream: string,
  ingest: string,
  onEnded: (ended: Ended) => void,
): Promise<Service> {
  const child = spawn(process.execPath, [here('./service.ts'), name, route, downstream], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      OTEL_EXPORTER_OTLP_ENDPOINT: ingest,
      OTEL_BSP_SCHEDULE_DELAY: '500',
      OTEL_BLRP_SCHEDULE_DELAY: '500',
    },
  });
  const lines = createInterface(child.stdout);
  const [first] = await once(lines, 'line');
  const { port } = JSON.parse(String(first)) as { port: number };
  lines.on('line', (line) => onEnded(JSON.parse(line) as Ended));
  return { url: `http://127.0.0.1:${port}`, stop: () => stopped(child) };
}

export async function setSlow(service: Service, slowMs: number): Promise<void> {
  const answer = await fetch(`${service.url}/control?slow_ms=${slowMs}`);
  await answer.body?.cancel();
}

/** Sends `perSecond` requests a second until it is stopped, whatever becomes of them; resolves with how many. */
export function sendTraffic(url: string, perSecond: number): () => Promise<number> {
  let sent = 0;
  const flying = new Set<Promise<void>>();
  const timer = setInterval(() => {
    sent++;
    // A request that fails is the story's business, not the generator's: the service counts it.
    const one = fetch(url)
      .then(async (answer) => answer.body?.cancel())
      .then(
        () => {},
        () => {},
      );
    flying.add(one);
    void one.then(() => flying.delete(one));
  }, 1000 / perSecond);
  return async () => {
    clearInterval(timer);
    await Promise.all(flying);
    return sent;
  };
}
