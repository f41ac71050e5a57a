/** What is valid and yet hardly meant: said in a warning when the agent starts, and by `validate`. */
import { EVERYWHERE, isLoopback, parseEndpoint } from './endpoint.ts';
import { memoryLimitBytes } from './resources.ts';
import type { Settings } from './settings.ts';
import { bytesOf, millisecondsOf } from './units.ts';

/** Half of memory_limit is blocks, and there a request lies twice while it is read: with 5 the largest had room, with 4 it never had. */
const REQUESTS_IN_MEMORY = 5;

interface Advised extends Pick<Settings, 'agent' | 'contracts' | 'ingest'> {
  processors: readonly { type: string }[];
  sinks: readonly { name: string; endpoint?: unknown; subscribe?: unknown }[];
}

/** `found`: contracts that were read. */
export function adviceOf({ agent, contracts, ingest, processors, sinks }: Advised, found: number): string[] {
  const advice: string[] = [];
  const has = (type: string) => processors.some((one) => one.type === type);
  if (contracts.length > 0 && found === 0)
    advice.push(`no file is at ${contracts.join(', ')}: there is no contract, nothing is judged`);
  if (found > 0 && !has('detect'))
    advice.push('there are contracts and no `detect` among the processors: nothing is judged');
  const { serve_on: serveOn, grace } = agent.shutdown;
  if (millisecondsOf(serveOn) >= millisecondsOf(grace))
    advice.push(
      `agent.shutdown.serve_on ${serveOn} leaves nothing of grace ${grace}: what is in flight has no time to end`,
    );
  const { max_request_body_size: largest } = ingest.http;
  if (memoryLimitBytes(agent.memory_limit) < REQUESTS_IN_MEMORY * bytesOf(largest)) {
    const wayOut = `raise it to ${REQUESTS_IN_MEMORY} times that, or lower ingest.http.max_request_body_size`;
    advice.push(
      `agent.memory_limit ${agent.memory_limit} has no room for requests of ${largest}, answered 503: ${wayOut}`,
    );
  }
  const isSummarised = has('summarize') || has('detect');
  for (const { name, endpoint, subscribe } of sinks) {
    const streams = Array.isArray(subscribe) ? subscribe : Object.keys(subscribe ?? {});
    if (streams.includes('summaries') && !isSummarised)
      advice.push(
        `sink ${name} takes summaries, and neither \`summarize\` nor \`detect\` is among the processors: none is made`,
      );
    if (typeof endpoint === 'string' && isHere(endpoint, ingest.http.endpoint))
      advice.push(
        `sink ${name} sends to ${ingest.http.endpoint}, where this agent listens: all of it comes again, without end`,
      );
  }
  return advice;
}

/** True when a URL leads to what listens on this address of this machine. */
function isHere(url: string, listens: string): boolean {
  const own = parseEndpoint(listens);
  if (own === undefined || !URL.canParse(url)) return false;
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (Number(port || (protocol === 'https:' ? 443 : 80)) !== own.port) return false;
  return host === own.host || (isLoopback(host) && (isLoopback(own.host) || EVERYWHERE.includes(own.host)));
}
