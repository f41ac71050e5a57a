/** `plumbline schema`: the JSON Schema of agent.yaml or, with --contract, of a contract; for editors. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { schemaOfAgent, schemaOfContract } from '../config.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Context } from './context.ts';

export async function schema(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({ args, options: { contract: { type: 'boolean' }, output: { type: 'string' } } });
  const text = `${JSON.stringify(values.contract === true ? schemaOfContract() : await agentSchema(context), null, 2)}\n`;
  if (values.output === undefined) context.stdout(text);
  else write(values.output, text);
  return 0;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new AgentError('CONFIG_INVALID', `--output ${file} cannot be written: ${messageOf(error)}`, { cause: error });
  }
}

async function agentSchema(context: Context): Promise<object> {
  const { processors, sinks } = await context.components();
  return schemaOfAgent(processors, sinks);
}
