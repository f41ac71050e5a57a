/** What is valid and yet hardly meant: said in a warning when the agent starts. */
import type { AgentConfig } from '../config.ts';
import { millisecondsOf } from './ground.ts';

/** `found`: contracts that were read. */
export function adviceOf({ agent, contracts, processors }: AgentConfig, found: number): string[] {
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
  return advice;
}
