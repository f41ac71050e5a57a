/** `plumbline validate`: every fault of the configuration and its contracts, one a line, or one line that there is none, with advice before it. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type AgentConfig, inspectConfig } from '../config.ts';
import { adviceOfContracts, readContracts } from '../contracts/read.ts';
import { adviceOf } from '../core/advice.ts';
import { messageOf } from '../core/errors.ts';
import { readTokenText } from '../core/tokens.ts';
import { readAllowPeer, readTls, tlsFilesOf } from '../ingest/tls.ts';
import { parseTokens } from '../ingest/tokens.ts';
import { readTokens } from '../status/access.ts';
import { CONFIG_OPTIONS, sourceOf } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_USAGE } from './exit.ts';

export async function validate(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({ args, options: CONFIG_OPTIONS });
  const source = await sourceOf(values, context);
  const { config, faults, notes } = inspectConfig(source);
  // While the configuration has faults, where its contracts lie is not known.
  const contracts = readContracts(config?.contracts ?? []);
  const all = [...faults, ...contracts.faults, ...(config === null ? [] : faultsOfFiles(config))];
  if (all.length > 0) {
    context.stderr(`${all.join('\n')}\n`);
    return EXIT_USAGE;
  }
  const count = contracts.plans.length;
  const held = count === 0 ? '' : ` with ${count} contract${count === 1 ? '' : 's'}`;
  // Without faults there is a configuration.
  const advice =
    config === null
      ? []
      : [...adviceOf(config, count), ...adviceOfContracts(contracts.files), ...adviceOfFiles(config)];
  context.stdout(`${[...notes, ...advice, `${source.file} is valid${held}`].join('\n')}\n`);
  return 0;
}

/** What the OTLP port and the admin port would refuse to start with. What cannot be read here is advice, below. */
function faultsOfFiles({ ingest, admin }: AgentConfig): string[] {
  const { tls, auth } = ingest.http;
  const files = tlsFilesOf(tls);
  const tokens = auth.bearer_token_file;
  return [
    ...(files === null ? [] : [() => readTls(files), () => readAllowPeer(files)]),
    ...(tokens === '' ? [] : [() => parseTokens(readTokenText('ingest.http.auth.bearer_token_file', tokens), tokens)]),
    ...(admin.auth.bearer_token_file === '' ? [] : [() => readTokens(admin.auth.bearer_token_file)]),
  ].flatMap((read) => {
    try {
      read();
      return [];
    } catch (error) {
      const cannotBeRead = error instanceof Error && error.cause instanceof Error && 'syscall' in error.cause;
      return cannotBeRead ? [] : [messageOf(error)];
    }
  });
}

/** Tokens, passwords and certificates that cannot be read. No faults: secrets are seldom mounted where a configuration is checked. */
function adviceOfFiles(section: object, path = ''): string[] {
  return Object.entries(section).flatMap(([key, value]) => {
    const name = Array.isArray(section) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
    if (typeof value === 'object' && value !== null) return adviceOfFiles(value, name);
    if (!key.endsWith('_file') || typeof value !== 'string' || value === '') return [];
    try {
      readFileSync(value);
      return [];
    } catch (error) {
      return [`${name}: ${value} cannot be read here (${messageOf(error)}): the agent needs it where it runs`];
    }
  });
}
