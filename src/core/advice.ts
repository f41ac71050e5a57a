/** What is valid and yet hardly meant: said in a warning when the agent starts, and by `validate`. */
import { memoryLimitBytes } from './resources.ts';
import type { Settings } from './settings.ts';
import { parseBytes, parseDurationMs } from './units.ts';

/** Half of memory_limit is blocks, and there a request lies twice while it is read: with 5 the largest had room, with 4 it never had. */
const REQUESTS_IN_MEMORY = 5;

interface Advised extends Pick<Settings, 'agent' | 'contracts' | 'ingest'> {
  processors: readonly { type: string }[];
}

/** `found`: contracts that were read. */
export function adviceOf({ agent, contracts, ingest, processors }: Advised, found: number): string[] {
  const advice: string[] = [];
  const has = (type: string) => processors.some((one) => one.type === type);
  if (contracts.length > 0 && found === 0)
    advice.push(`no file is at ${contracts.join(', ')}: there is no contract, nothing is judged`);
  if (found > 0 && !has('detect'))
    advice.push('there are contracts and no `detect` among the processors: nothing is judged');
  const { serve_on: serveOn, grace } = agent.shutdown;
  // The schema has let these pass.
  if ((parseDurationMs(serveOn) ?? 0) >= (parseDurationMs(grace) ?? 0))
    advice.push(
      `agent.shutdown.serve_on ${serveOn} leaves nothing of grace ${grace}: what is in flight has no time to end`,
    );
  const { max_request_body_size: largest } = ingest.http;
  if (memoryLimitBytes(agent.memory_limit) < REQUESTS_IN_MEMORY * (parseBytes(largest) ?? 0)) {
    const wayOut = `raise it to ${REQUESTS_IN_MEMORY} times that, or lower ingest.http.max_request_body_size`;
    advice.push(
      `agent.memory_limit ${agent.memory_limit} has no room for requests of ${largest}, answered 503: ${wayOut}`,
    );
  }
  return advice;
}
