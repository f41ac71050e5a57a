/** The options `--config` and `--set` that commands share: which file is read, and how its variables are filled in. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigSource } from '../config.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Context } from './context.ts';

/** For parseArgs. */
export const CONFIG_OPTIONS = { config: { type: 'string' }, set: { type: 'string', multiple: true } } as const;

/** What it makes of them. */
interface Given {
  config?: string;
  set?: string[];
}

/** Where the file is looked for when nobody says: beside the caller, in a checkout, in an image. */
const USUAL_FILES = ['agent.yaml', 'config/agent.yaml', '/etc/plumbline/agent.yaml'];

/** Throws CONFIG_INVALID when there is no file to read. */
export async function sourceOf({ config, set }: Given, context: Context): Promise<ConfigSource> {
  const file = config ?? USUAL_FILES.find((name) => existsSync(name));
  if (file === undefined) {
    throw new AgentError('CONFIG_INVALID', `no ${USUAL_FILES.join(', ')}: name a file with --config FILE`);
  }
  return { text: readText(file), file, env: context.env, set, ...(await context.components()) };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const isDirectory = error instanceof Error && 'code' in error && error.code === 'EISDIR';
    const why = isDirectory ? `it is a directory: name a file, as ${join(file, 'agent.yaml')}` : messageOf(error);
    throw new AgentError('CONFIG_INVALID', `${file} cannot be read: ${why}`, { cause: error });
  }
}
