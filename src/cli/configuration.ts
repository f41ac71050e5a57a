/** The options `--config` and `--set` that `run` and `validate` share: which file is read, and what is in it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ConfigReport, inspectConfig } from '../config.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Context } from './context.ts';

/** Where the file is looked for when nobody says: beside the caller, in a checkout, in an image. */
const USUAL_FILES = ['agent.yaml', 'config/agent.yaml', '/etc/plumbline/agent.yaml'];

/** Reads and checks the file that the arguments name; throws CONFIG_INVALID when there is none to read. */
export async function readConfiguration(args: string[], context: Context): Promise<ConfigReport & { file: string }> {
  const { values } = parseArgs({
    args,
    options: { config: { type: 'string' }, set: { type: 'string', multiple: true } },
  });
  const file = values.config ?? USUAL_FILES.find((name) => existsSync(name));
  if (file === undefined) {
    throw new AgentError('CONFIG_INVALID', `no ${USUAL_FILES.join(', ')}: name a file with --config FILE`);
  }
  const text = readText(file);
  const components = await context.components();
  return { file, ...inspectConfig({ text, file, env: context.env, set: values.set, ...components }) };
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
