/** Runs somebody's command with an agent to send to, and hands back where its telemetry lies. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { loadConfig } from '../../config.ts';
import { AgentError, messageOf } from '../../core/errors.ts';
import type { Context } from '../context.ts';

/** How long after a command's end what it has printed may still come. */
const LAST_OUTPUT_MS = 1000;

interface CommandRun {
  /** Directory of the storage files. */
  directory: string;
  /** The command's own exit status, or the signal that ended it. */
  status: number | string;
  remove(): void;
}

/** The agent keeps what it gets in a temporary folder; it is stopped, and all is on disk, when this resolves. */
export async function runCommand(command: readonly string[], context: Context): Promise<CommandRun> {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-check-'));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  try {
    const agent = await context.start(await configOf(folder, context), { log: pino({ level: 'silent' }) });
    let status: number | string;
    try {
      status = await runChild(command, agent.ingestUrl, context);
    } finally {
      await agent.stop();
    }
    const directory = join(folder, 'storage');
    // A command that sent nothing leaves none.
    mkdirSync(directory, { recursive: true });
    return { directory, status, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function configOf(folder: string, context: Context) {
  const source = {
    agent: { data_dir: folder, workers: 1, shutdown: { serve_on: '0s' } },
    admin: { endpoint: '127.0.0.1:0' },
    ingest: { http: { endpoint: '127.0.0.1:0' } },
    sinks: [{ type: 'storage', subscribe: ['raw'], directory: join(folder, 'storage'), rotate: { every: '1s' } }],
  };
  const components = await context.components();
  // JSON is YAML.
  return loadConfig({ text: JSON.stringify(source), file: 'check', env: {}, ...components }).config;
}

/** What the command prints goes to stderr: stdout is the report's. */
function runChild(
  [program = '', ...args]: readonly string[],
  endpoint: string,
  context: Context,
): Promise<number | string> {
  const env = {
    ...withoutSignals(context.env),
    ...withoutProxy(context.env),
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['inherit', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => context.stderr(text));
    // SIGINT comes from a terminal, which sends it to the command as well.
    context.onSignal((signal) => signal === 'SIGTERM' && child.kill(signal));
    child.once('error', (error) =>
      reject(new AgentError('CONFIG_INVALID', `${program} cannot be run: ${messageOf(error)}`, { cause: error })),
    );
    child.once('close', (code, signal) => resolve(code ?? signal ?? 1));
    // What it has left running in the background holds its output open, maybe for ever.
    child.once('exit', (code, signal) => {
      const leave = () => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(code ?? signal ?? 1);
      };
      setTimeout(leave, LAST_OUTPUT_MS).unref();
    });
  });
}

/** Some exporters send by the proxy that the environment names, also to this machine, unless they are told not to. */
function withoutProxy(env: Context['env']): Context['env'] {
  const given = env.NO_PROXY ?? env.no_proxy ?? '';
  const without = given === '' ? '127.0.0.1' : `${given},127.0.0.1`;
  return { NO_PROXY: without, no_proxy: without };
}

/** The variables that would go over those of all signals, and lead elsewhere. */
function withoutSignals(env: Context['env']): Context['env'] {
  const own = /^OTEL_EXPORTER_OTLP_(TRACES|METRICS|LOGS)_(ENDPOINT|PROTOCOL)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !own.test(name)));
}
