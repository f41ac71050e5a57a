/** `plumbline run`: starts the agent, says when it is ready, and stops it on SIGTERM or SIGINT; src/agent.ts does the work. */
import { parseArgs } from 'node:util';
import { type Logger, pino } from 'pino';
import type { AgentOptions } from '../agent.ts';
import { type AgentConfig, inspectConfig, loadConfig } from '../config.ts';
import { CONFIG_OPTIONS, sourceOf } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED } from './exit.ts';

const STDERR = 2;

export async function run(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({ args, options: CONFIG_OPTIONS });
  const source = await sourceOf(values, context);
  const { config, notes } = loadConfig(source);
  const log = await createLog(config.agent.log_level, context.isTerminal);
  for (const note of notes) log.info(note);
  const read = async () => inspectConfig(await sourceOf(values, context));
  return await runAgent(config, log, context, { file: source.file, read });
}

/** Runs until a signal or a fault that nobody caught; returns the exit status. */
export async function runAgent(
  config: AgentConfig,
  log: Logger,
  context: Context,
  source?: AgentOptions['source'],
): Promise<number> {
  const signals = countSignals(context);
  const uncaught = new Promise<Error>((resolve) => context.onUncaught(resolve));
  // Raced against the first fault and the second signal at every step: neither may wait for a step that hangs.
  const crashed = uncaught.then((error) => {
    log.error({ err: error }, 'uncaught exception: this is a fault of the agent');
    return EXIT_FAILED;
  });
  const impatient = signals.second.then((signal) => {
    log.warn(`second signal (${signal}): leaving at once, what was not sent stays in the journal`);
    return EXIT_FAILED;
  });
  return await Promise.race([
    crashed,
    impatient,
    serve(config, context, signals.first, { log, ...(source === undefined ? {} : { source }) }),
  ]);
}

async function serve(
  config: AgentConfig,
  context: Context,
  stopped: Promise<string>,
  options: AgentOptions,
): Promise<number> {
  const { log } = options;
  const starting = context.start(config, options);
  // Heard from now on, or the signal would end the process. A start that fails is told below.
  const reload = () =>
    void starting.then(
      (agent) => agent.reload(),
      () => {},
    );
  context.onHangup(reload);
  const agent = await Promise.race([starting, stopped]);
  // Stopped while it waits, for the lock for example: nothing was taken yet, and the journal makes leaving safe.
  if (typeof agent === 'string') return 0;
  context.stdout(`ready ingest=${agent.ingestUrl} admin=${agent.adminUrl}\n`);
  log.info(`${await stopped}: stopping`);
  await agent.stop();
  return 0;
}

/** The first and the second signal as they come. */
function countSignals(context: Context): { first: Promise<string>; second: Promise<string> } {
  const first = Promise.withResolvers<string>();
  const second = Promise.withResolvers<string>();
  let count = 0;
  context.onSignal((signal) => (count++ === 0 ? first : second).resolve(signal));
  return { first: first.promise, second: second.promise };
}

/** JSON lines on stderr, or lines for people on a terminal. Synchronous, so that the last line before an exit is not lost. */
async function createLog(level: string, isTerminal: boolean): Promise<Logger> {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (isTerminal) {
    const { build } = await import('pino-pretty');
    return pino(options, build({ destination: STDERR, sync: true }));
  }
  return pino(options, pino.destination({ dest: STDERR, sync: true }));
}
