/** `plumbline why`: asks the running agent what became of a trace, and says it in words. */
import { parseArgs } from 'node:util';
import { formatEndpoint, parseEndpoint } from '../core/endpoint.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Explained, FoundItem } from '../status/explained.ts';
import { readConfiguration } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED } from './exit.ts';

/** Hosts that an admin port may listen on, and nobody can name. */
const EVERYWHERE = ['0.0.0.0', '::'];

/** Exit status 1 when the agent knows nothing of the trace. */
export async function why(args: string[], context: Context): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: {
      config: { type: 'string' },
      set: { type: 'string', multiple: true },
      admin: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const [id = '', ...more] = positionals;
  if (!/^[0-9a-fA-F]{32}$/.test(id) || more.length > 0) {
    const message = `"${positionals.join(' ')}" is no trace id: say its 32 hex digits`;
    throw new AgentError('CONFIG_INVALID', `plumbline why: ${message}`);
  }
  const own = [...(values.config === undefined ? [] : ['--config', values.config])];
  for (const one of values.set ?? []) own.push('--set', one);
  const admin = values.admin ?? (await configured(own, context));
  const answer = await ask(admin, id.toLowerCase());
  context.stdout(values.json ? `${JSON.stringify(answer, null, 2)}\n` : describe(id.toLowerCase(), answer));
  return answer.decision === 'unknown' ? EXIT_FAILED : 0;
}

async function configured(args: string[], context: Context): Promise<string> {
  const { config, faults } = await readConfiguration(args, context);
  if (config === null) throw new AgentError('CONFIG_INVALID', faults.join('\n'));
  const { host, port } = parseEndpoint(config.admin.endpoint) ?? { host: '', port: 0 };
  // Traces are shown on loopback alone, which is a part of everywhere.
  return `http://${formatEndpoint({ host: EVERYWHERE.includes(host) ? '127.0.0.1' : host, port })}`;
}

async function ask(admin: string, id: string): Promise<Explained> {
  let response: Response;
  try {
    response = await fetch(new URL(`/traces/${id}`, admin));
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
    const message = `no agent answers at ${admin} (${cause}): start it, or name its admin port with --admin URL`;
    throw new AgentError('AGENT_UNREACHABLE', message, { cause: error });
  }
  if (!response.ok)
    throw new AgentError('AGENT_UNREACHABLE', `${admin} answers ${response.status}: ${await response.text()}`);
  // The agent's own answer.
  return (await response.json()) as Explained;
}

function describe(id: string, answer: Explained): string {
  const { decision, rule, threshold, randomness, first_seen, decided_at, contracts, journal, received, kept } = answer;
  const lines = [`${id}: ${decision}, ${answer.why}`];
  if (answer.class !== null) {
    const byRule = rule === null ? '' : ` by rule ${rule}`;
    lines.push(`  class ${answer.class}${byRule}, threshold ${threshold ?? 'unknown'}, randomness ${randomness}`);
  }
  if (first_seen !== null) lines.push(`  first seen ${first_seen}, decided ${decided_at ?? 'never'}`);
  for (const { service, state, why: reason } of contracts) lines.push(`  contract of ${service}: ${state}: ${reason}`);
  const bound = journal.searched_all ? '' : ' (only the newest part was searched)';
  lines.push(
    `  in the intake journal at ${list(journal.intake)}, in the derived one at ${list(journal.derived)}${bound}`,
  );
  lines.push(...received.map((item) => itemLine('received', item)), ...kept.map((item) => itemLine('kept', item)));
  return `${lines.join('\n')}\n`;
}

function list(sequences: readonly number[]): string {
  return sequences.length === 0 ? 'no sequence' : `sequence ${sequences.join(', ')}`;
}

function itemLine(
  what: string,
  { service, name, status, duration_ms, received_at, sequence, kept }: FoundItem,
): string {
  const took = duration_ms === null ? '' : ` ${duration_ms} ms`;
  return `    ${what} ${received_at} #${sequence}  ${service}  ${name}  ${status}${took}${kept === null ? '' : `  (${kept})`}`;
}
