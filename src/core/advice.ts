/** What is valid and yet hardly meant: said in a warning when the agent starts, and by `validate`. */
import type { Settings } from './settings.ts';
import { parseDurationMs } from './units.ts';

interface Advised extends Pick<Settings, 'agent' | 'contracts'> {
  processors: readonly { type: string }[];
}

/** `found`: contracts that were read. */
export function adviceOf({ agent, contracts, processors }: Advised, found: number): string[] {
  const advice: string[] = [];
  const has = (type: string) => processors.some((one) => one.type === type);
  if (contracts.length > 0 && found === 0)
    advice.push(`no file is at ${contracts.join(', ')}: there is no contract, nothing is judged`);
  if (found > 0 && !has('detect'))
    advice.push('there are contracts and no `detect` among the processors: nothing is judged');
  const { serve_on: serveOn, grace } = agent.shutdown;
  // The schema has let both pass.
  if ((parseDurationMs(serveOn) ?? 0) >= (parseDurationMs(grace) ?? 0))
    advice.push(
      `agent.shutdown.serve_on ${serveOn} leaves nothing of grace ${grace}: what is in flight has no time to end`,
    );
  return advice;
}
