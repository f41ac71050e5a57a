/** The command line: finds the command, prints usage, and turns what a command throws into a line and an exit status. */

import { AgentError, messageOf } from '../core/errors.ts';
import { suggest } from '../core/nearest.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED, EXIT_USAGE } from './exit.ts';

/** Does its work and says the exit status; may throw. */
type Run = (args: string[], context: Context) => Promise<number>;

interface Command {
  usage: string;
  summary: string;
  load(): Promise<Run>;
}

/** In the order of the usage text. */
const COMMANDS: Record<string, Command> = {
  run: {
    usage: 'run [--config FILE] [--set a.b=c]...',
    summary: 'run the agent; prints one `ready` line when it can accept',
    load: async () => (await import('./run.ts')).run,
  },
  validate: {
    usage: 'validate [--config FILE] [--set a.b=c]...',
    summary: 'say every fault of the configuration with file, line and column',
    load: async () => (await import('./validate.ts')).validate,
  },
  journal: {
    usage: 'journal [--config FILE | --directory DIR] [--verify] [--json]',
    summary: 'what the journal on disk holds and who still has to read it; --verify checks every byte',
    load: async () => (await import('./journal.ts')).journal,
  },
  check: {
    usage: 'check CONTRACT... [--input FILE]... [--format table|json|markdown] [--json] [-- COMMAND...]',
    summary: 'hold recorded telemetry, or that of a command, against contracts; run their examples',
    load: async () => (await import('./check.ts')).check,
  },
  redeliver: {
    usage: 'redeliver [--config FILE] [--set a.b=c]... [--sink NAME] [--within 1m] [--partial]',
    summary: 'send dead letters again; --partial also those of which a part was taken, which then comes twice',
    load: async () => (await import('./redeliver.ts')).redeliver,
  },
  why: {
    usage: 'why TRACE_ID [--admin URL | --config FILE] [--token-file FILE] [--json]',
    summary: 'ask the running agent whether a trace was kept, and why; exit status 1 when it knows nothing of it',
    load: async () => (await import('./why.ts')).why,
  },
  schema: {
    usage: 'schema [--contract] [--output FILE]',
    summary: 'print the JSON Schema of agent.yaml, or of a contract',
    load: async () => (await import('./schema.ts')).schema,
  },
  version: {
    usage: 'version',
    summary: 'print name, version and Node version',
    load: async () => (await import('./version.ts')).version,
  },
};

/** Runs one command and returns the exit status: 0 done, 1 failed, 2 bad usage or configuration; commands may say others. */
export async function runCommand(argv: readonly string[], context: Context): Promise<number> {
  const [name = '', ...args] = argv;
  if (['', 'help', '--help', '-h'].includes(name)) {
    (name === '' ? context.stderr : context.stdout)(usage());
    return name === '' ? EXIT_USAGE : 0;
  }
  const known = name === '--version' || name === '-v' ? 'version' : name;
  const command = Object.hasOwn(COMMANDS, known) ? COMMANDS[known] : undefined;
  if (command === undefined) {
    context.stderr(`plumbline: unknown command "${name}": ${suggest(name, Object.keys(COMMANDS))}\n`);
    return EXIT_USAGE;
  }
  // What follows `--` belongs to somebody else's command.
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  if (own.includes('--help') || own.includes('-h')) {
    context.stdout(`plumbline ${command.usage}\n  ${command.summary}\n`);
    return 0;
  }
  try {
    const run = await command.load();
    return await run(args, context);
  } catch (error) {
    return explain(error, command, context);
  }
}

function usage(): string {
  const lines = Object.values(COMMANDS).map(({ usage, summary }) => `  plumbline ${usage}\n      ${summary}`);
  return `Plumbline, an edge telemetry agent.\n\n${lines.join('\n')}\n`;
}

/** One line for an operator, with the way out; a stack only for what nobody foresaw. */
function explain(error: unknown, command: Command, context: Context): number {
  if (error instanceof AgentError) {
    const isConfig = error.code === 'CONFIG_INVALID' || error.code === 'CONTRACT_INVALID';
    context.stderr(isConfig ? `${error.message}\n` : `plumbline: ${error.code}: ${error.message}\n`);
    return isConfig ? EXIT_USAGE : EXIT_FAILED;
  }
  if (isArgumentError(error)) {
    context.stderr(`plumbline: ${messageOf(error)}\nusage: plumbline ${command.usage}\n`);
    return EXIT_USAGE;
  }
  context.stderr(`plumbline: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return EXIT_FAILED;
}

/** What parseArgs of node:util throws for options it does not know. */
function isArgumentError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}
