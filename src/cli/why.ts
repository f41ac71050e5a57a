/** `plumbline why`: asks the running agent what became of a trace, and says it in words. */
import { parseArgs } from 'node:util';
import { type AgentConfig, loadConfig } from '../config.ts';
import { EVERYWHERE, formatEndpoint, isLoopback, parseEndpoint } from '../core/endpoint.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { parseTokenLines, readTokenText } from '../core/tokens.ts';
import type { Explained, FoundItem } from '../status/explained.ts';
import { CONFIG_OPTIONS, sourceOf } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED } from './exit.ts';

/** Who is asked, and what names the file whose first token opens it; null: none is needed. */
interface Target {
  admin: string;
  tokens: { key: string; file: string } | null;
}

/** Exit status 1 when the agent knows nothing of the trace. */
export async function why(args: string[], context: Context): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: {
      ...CONFIG_OPTIONS,
      admin: { type: 'string' },
      'token-file': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const [id = '', ...more] = positionals;
  if (!/^[0-9a-fA-F]{32}$/.test(id) || more.length > 0) {
    const message = `"${positionals.join(' ')}" is no trace id: say its 32 hex digits`;
    throw new AgentError('CONFIG_INVALID', `plumbline why: ${message}`);
  }
  const target =
    values.admin === undefined ? configured(loadConfig(await sourceOf(values, context)).config) : named(values.admin);
  const file = values['token-file'];
  if (file !== undefined) target.tokens = { key: '--token-file', file };
  const answer = await ask(target, id.toLowerCase());
  context.stdout(values.json ? `${JSON.stringify(answer, null, 2)}\n` : describe(id.toLowerCase(), answer));
  return answer.decision === 'unknown' ? EXIT_FAILED : 0;
}

function named(admin: string): Target {
  if (/^https?:\/\//i.test(admin) && URL.canParse(admin)) return { admin, tokens: null };
  const message = `--admin must be a URL such as http://127.0.0.1:8888, found "${admin}"`;
  throw new AgentError('CONFIG_INVALID', `plumbline why: ${message}`);
}

function configured({ admin: { endpoint, auth } }: AgentConfig): Target {
  const { host: listens, port } = parseEndpoint(endpoint) ?? { host: '', port: 0 };
  // Loopback is a part of everywhere, and needs no token.
  const host = EVERYWHERE.includes(listens) ? '127.0.0.1' : listens;
  const file = isLoopback(host) ? '' : auth.bearer_token_file;
  const tokens = file === '' ? null : { key: 'admin.auth.bearer_token_file', file };
  return { admin: `http://${formatEndpoint({ host, port })}`, tokens };
}

async function ask({ admin, tokens }: Target, id: string): Promise<Explained> {
  const headers: Record<string, string> = tokens === null ? {} : { authorization: `Bearer ${firstToken(tokens)}` };
  let response: Response;
  try {
    response = await fetch(new URL(`/traces/${id}`, admin), { headers });
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
    const message = `no agent answers at ${admin} (${cause}): start it, or name its admin port with --admin URL`;
    throw new AgentError('AGENT_UNREACHABLE', message, { cause: error });
  }
  if (!response.ok) {
    const wayOut = response.status === 401 ? ': name a file that begins with one of its tokens, --token-file FILE' : '';
    throw new AgentError('AGENT_UNREACHABLE', `${admin} answers ${response.status}: ${await response.text()}${wayOut}`);
  }
  // The agent's own answer.
  return (await response.json()) as Explained;
}

function firstToken({ key, file }: { key: string; file: string }): string {
  // Not undefined: a file without a token has thrown.
  const [first] = parseTokenLines(readTokenText(key, file), `${key}: ${file}`, (token) => ({ token })) as [
    { token: string },
  ];
  return first.token;
}

function describe(id: string, answer: Explained): string {
  const { decision, rule, threshold, randomness, first_seen, decided_at, contracts, journal, received, kept } = answer;
  const lines = [`${id}: ${decision}, ${answer.why}`];
  if (answer.class !== null) {
    const byRule = rule === null ? '' : ` by rule ${rule}`;
    lines.push(`  class ${answer.class}${byRule}, threshold ${threshold ?? 'unknown'}, randomness ${randomness}`);
  }
  if (first_seen !== null) lines.push(`  first seen ${first_seen}, decided ${decided_at ?? 'when an agent stopped'}`);
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
