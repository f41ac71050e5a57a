/** What is remembered of the judgement of one signal: plain data, saved in the checkpoint. */

export const STATES = ['unknown', 'healthy', 'degraded', 'breached'] as const;
export type State = (typeof STATES)[number];
/** From worst to best, for a contract of several signals. */
const WORST_FIRST: readonly State[] = ['breached', 'degraded', 'unknown', 'healthy'];

/** Times are Unix seconds. */
export interface Judged {
  state: State;
  /** Second in which the state was entered; 0 for the first `unknown`. */
  since: number;
  frozen: boolean;
  /** That it has too few items has been told. */
  isToldFrozen: boolean;
  /** The limits by which the runs were counted, as text: runs begin anew when they change. */
  limits: string;
  /** Seconds in a row at or over each level; under it. */
  overDegraded: number;
  underDegraded: number;
  overBreached: number;
  underBreached: number;
  /** First second of the run that is over `degraded`, or over `breached`; 0 when there is none. */
  worseSince: number;
  /** As of the last judgement. */
  value: number;
  items: number;
}

export function newJudged(): Judged {
  return {
    state: 'unknown',
    since: 0,
    frozen: false,
    isToldFrozen: false,
    limits: '',
    overDegraded: 0,
    underDegraded: 0,
    overBreached: 0,
    underBreached: 0,
    worseSince: 0,
    value: 0,
    items: 0,
  };
}

/** The worst of the signals' states, in the order breached, degraded, unknown, healthy. */
export function worstState(states: readonly State[]): State {
  return WORST_FIRST.find((state) => states.includes(state)) ?? 'unknown';
}
