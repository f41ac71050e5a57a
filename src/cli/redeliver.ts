/** `plumbline redeliver`: sends what a destination had refused for good again, once what it was refused for is mended. */
import { parseArgs } from 'node:util';
import { loadConfig, type SinkConfig } from '../config.ts';
import { BlockPool } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import { suggest } from '../core/nearest.ts';
import { memoryLimitBytes } from '../core/resources.ts';
import { parseDurationMs } from '../core/units.ts';
import { type Redelivered, redeliver as redeliverSink } from '../sinks/redeliver.ts';
import { sinks } from '../sinks/registry.ts';
import { deliveryOf } from '../sinks/sink.ts';
import { CONFIG_OPTIONS, sourceOf } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED } from './exit.ts';

/** Exit status 1 when a letter stays that should have gone. */
export async function redeliver(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      ...CONFIG_OPTIONS,
      sink: { type: 'string' },
      within: { type: 'string', default: '1m' },
      partial: { type: 'boolean', default: false },
    },
  });
  const { config, notes } = loadConfig(await sourceOf(values, context));
  // A sink that the agent has and this shell has not, for want of a variable, would be passed over in silence.
  for (const note of notes) context.stderr(`${note}\n`);
  const withinMs = parseDurationMs(values.within);
  if (withinMs === undefined)
    throw new AgentError('CONFIG_INVALID', `--within ${values.within}: a duration such as 30s`);
  const chosen = config.sinks.filter(({ name }) => values.sink === undefined || name === values.sink);
  if (values.sink !== undefined && chosen.length === 0) {
    const names = config.sinks.map(({ name }) => name);
    throw new AgentError('CONFIG_INVALID', `no sink "${values.sink}": ${suggest(values.sink, names)}`);
  }
  const pool = BlockPool.create(memoryLimitBytes(config.agent.memory_limit) / 2);
  if (chosen.length === 0) context.stderr('no sink is configured: there is nothing to send to\n');
  let isComplete = true;
  for (const sink of chosen) {
    const { letters, items, partial, left } = await send(sink, config.agent.data_dir, pool, withinMs, values.partial);
    isComplete &&= left.length === 0;
    context.stdout(inWords(sink.name, { letters, items, partial, left }));
  }
  return isComplete ? 0 : EXIT_FAILED;
}

function send(sink: SinkConfig, dataDir: string, pool: BlockPool, withinMs: number, partial: boolean) {
  const definition = sinks.find(({ type }) => type === sink.type);
  if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no sink of type ${sink.type}`);
  const { deadLetter, retry, timeoutMs } = deliveryOf(sink, `${dataDir}/dead_letter/${sink.name}`);
  return redeliverSink({
    definition,
    name: sink.name,
    config: sink,
    pool,
    // deliveryOf gives back the default it was handed.
    deadLetter: deadLetter as string,
    directory: `${dataDir}/sinks/${sink.name}`,
    retry,
    timeoutMs,
    deadlineMs: Date.now() + withinMs,
    partial,
    now: Date.now,
  });
}

function inWords(name: string, { letters, items, partial, left }: Redelivered): string {
  const lines = [`${name}: ${letters} dead letters delivered (${items} items), ${left.length} left`];
  if (partial > 0) {
    lines.push(`  ${partial} were taken in part, and that part would come twice: --partial sends them all the same`);
  }
  return [...lines, ...left.map((line) => `  ${line}`)].join('\n').concat('\n');
}
