/** What parts are built from. Imported by agent.ts and its wiring alone. */
import type { Logger } from 'pino';
import type { AgentConfig } from '../config.ts';
import type { BlockPool } from '../core/block.ts';
import type { Telemetry } from '../core/telemetry.ts';
import type { SampleConfig } from '../processors/sample/config.ts';

/** What the parts below are built from, as far as it exists. */
export interface Ground {
  config: AgentConfig;
  log: Logger;
  telemetry: Telemetry;
  pool: BlockPool;
  now(): number;
  /** Why no data can be taken, by cause; empty when it can. */
  trouble: Map<string, string>;
  /** Files of the two ports whose change was refused, and why, by what they hold; empty when all is in force. */
  refused: Map<string, string>;
  /** Undoes what was started, newest last. */
  undo: (() => Promise<void> | void)[];
}

/** Says that changed files, `what` they hold, were taken (null) or refused: then what was in use stays. */
export function tellReload({ log, telemetry, refused }: Ground, what: string, error: Error | null): void {
  refused.delete(what);
  if (error === null) {
    log.info(`${what} were read again`);
    return;
  }
  refused.set(what, `${what}: ${error.message}`);
  telemetry.configErrors.inc();
  log.error(`${what} are as before, the changed file is no good: ${error.message}`);
}

/** The section of `sample`, when it is configured; validated by its schema. */
export function sampleOf(config: AgentConfig): SampleConfig | undefined {
  return config.processors.find(({ type }) => type === 'sample') as unknown as SampleConfig | undefined;
}
