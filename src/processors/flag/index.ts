/** `flag`: says when a service does what it has not done before; a hint for people and for sampling, never a page. */

/** Scores from here on are flags: about one a week in a series of pure noise (docs/anomalies.md). */
export const DEFAULT_THRESHOLD = 6.2;
