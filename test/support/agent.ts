/** Runs the agent as users do: a child process with a YAML file, found by its `ready` line, ended by signals to its own pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const READY = /ready ingest=(\S+) admin=(\S+)/;
const START_MS = 30_000;

export interface AgentProcess {
  ingest: string;
  admin: string;
  pid: number;
  /** Everything it wrote so far. */
  output(): string;
  /** Sends the signal and resolves with the exit status (or the signal's name). */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string>;
  exited: Promise<number | string>;
  status(): Promise<Status>;
}

/** /status, as far as tests look at it. */
export interface Status {
  agent: { id: string; durability: string; journal_mode: string };
  ledger: Record<string, { received: number; journalled: number; rejected: number }>;
  sinks: Record<
    string,
    {
      state: string;
      error: string | null;
      lag_items: number;
      streams: Record<string, Record<string, Record<string, number>>>;
    }
  >;
  workers: { restarts: number };
}

/** A directory that is gone after the test. */
export function temporaryDirectory(t: { after(undo: () => void): void }, name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `plumbline-${name}-`));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts an agent and kills it `afterMs` later, wherever it is by then. */
export async function killWhileStarting(directory: string, yaml: string, afterMs: number): Promise<void> {
  const child = spawnAgent(directory, yaml, {});
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await exited;
}

function spawnAgent(directory: string, yaml: string, env: Record<string, string>, main = MAIN) {
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, yaml);
  return spawn(process.execPath, [main, 'run', '--config', file], {
    cwd: directory,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Starts an agent in `directory` with `yaml` as its agent.yaml; rejects with its output when it does not get ready. */
export async function startAgentProcess(
  directory: string,
  yaml: string,
  env: Record<string, string> = {},
  main = MAIN,
): Promise<AgentProcess> {
  const child = spawnAgent(directory, yaml, env, main);
  const output: string[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => output.push(bytes.toString()));
  const exited = new Promise<number | string>((resolve) =>
    // Not `exit`: what it wrote last may still be on its way through the pipe by then.
    child.once('close', (code, signal) => resolve(code ?? signal ?? '')),
  );
  const [ingest, admin] = await waitForReady(child, output, exited);
  return {
    ingest,
    admin,
    pid: child.pid as number,
    output: () => output.join(''),
    exited,
    end(signal) {
      child.kill(signal);
      return exited;
    },
    status: async () => (await (await fetch(`${admin}/status`)).json()) as Status,
  };
}

function waitForReady(child: ChildProcess, output: string[], exited: Promise<unknown>): Promise<[string, string]> {
  return new Promise((resolve, reject) => {
    const give_up = (why: string) => reject(new Error(`${why}; it wrote:\n${output.join('')}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      give_up(`the agent was not ready within ${START_MS} ms`);
    }, START_MS);
    void exited.then((status) => {
      clearTimeout(timer);
      give_up(`the agent ended with ${status} before it was ready`);
    });
    child.stdout?.on('data', () => {
      const found = READY.exec(output.join(''));
      if (found === null) return;
      clearTimeout(timer);
      resolve([found[1] as string, found[2] as string]);
    });
  });
}

/** Polls until `found` answers something; the deadline is there to fail, not to pace. */
export async function eventually<T>(
  what: string,
  deadlineMs: number,
  found: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const answer = await found();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Resolves when every row of every sink has nothing queued, and checks that the ledger balances. */
export async function settledLedger(agent: AgentProcess, deadlineMs: number): Promise<Status> {
  let last: Status | undefined;
  try {
    return await eventually('the ledger settles', deadlineMs, async () => {
      last = await agent.status();
      return isSettled(last) ? last : undefined;
    });
  } catch (error) {
    throw new Error(`${String(error)}: ${JSON.stringify({ ledger: last?.ledger, sinks: last?.sinks }, null, 1)}`, {
      cause: error,
    });
  }
}

function isSettled({ ledger, sinks }: Status): boolean {
  const signals = [ledger.traces, ledger.metrics, ledger.logs];
  if (signals.some((one) => one === undefined || one.received !== one.journalled + one.rejected)) return false;
  const rows = Object.values(sinks).flatMap(({ streams }) =>
    Object.values(streams).flatMap((row) => Object.values(row)),
  );
  return rows.every((row) => row.queued === 0);
}
