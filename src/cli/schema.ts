/** `plumbline schema`: the JSON Schema of agent.yaml or, with --contract, of a contract; for editors. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { schemaOfAgent, schemaOfContract } from '../config.ts';
import type { Context } from './context.ts';

export async function schema(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({ args, options: { contract: { type: 'boolean' }, output: { type: 'string' } } });
  const text = `${JSON.stringify(values.contract === true ? schemaOfContract() : await agentSchema(context), null, 2)}\n`;
  if (values.output === undefined) context.stdout(text);
  else writeFileSync(values.output, text);
  return 0;
}

async function agentSchema(context: Context): Promise<object> {
  const { processors, sinks } = await context.components();
  return schemaOfAgent(processors, sinks);
}
