/**
 * Reload: when agent.yaml or a contract changes, or on demand, contracts and processors take effect without a restart; a file with a
 * fault is refused as a whole. What else changed is told as waiting for a restart.
 */
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { AgentConfig, ConfigReport } from '../config.ts';
import type { ContractPlan } from '../contracts/plan.ts';
import { adviceOfContracts, type ContractCache, contractFiles, readContracts } from '../contracts/read.ts';
import { adviceOf } from '../core/advice.ts';
import { messageOf } from '../core/errors.ts';
import { isRecord } from '../core/schema.ts';
import type { Ground } from './ground.ts';

/** Where the configuration came from. */
export interface ConfigFile {
  file: string;
  /** Reads and checks it again. */
  read(): Promise<ConfigReport>;
}

interface ReloadState {
  loadedAt: Date;
  /** Why the last change was refused; null when it was not. */
  error: string | null;
  /** Keys that have changed and take effect with the next start. */
  restartNeeded: string[];
}

/** Looking takes about 10 us a file; a mounted file changes by a swapped link, which tells no watcher. */
const LOOK_EVERY_MS = 500;
/** Files that still change after so long are being written, or moved away and back: half of them is not what somebody wants. */
const SETTLE_MS = 200;
/** Sections that are read once. Processors and contracts are not. */
const FIXED = ['agent', 'admin', 'ingest', 'journal', 'sinks'] as const;
/** Keys of `sample` that decide how the trace table and the selection are laid out. */
const SAMPLE_FIXED = ['wait', 'traces', 'budget'];

export class Reload {
  readonly state: ReloadState;
  readonly #ground: Ground;
  readonly #source: ConfigFile | null;
  /** What was in force at the start: what differs from it needs another one. */
  readonly #started: AgentConfig;
  readonly #cache: ContractCache;
  readonly #apply: (config: AgentConfig, contracts: ContractPlan[]) => void;
  /** The files as they were before they were read. */
  #seen: string;
  #settling: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  readonly #timer: NodeJS.Timeout;

  /** `apply` may throw what refuses the change, before it has changed anything. `seen`: the files as they were before the start has read them. */
  constructor(
    ground: Ground,
    source: ConfigFile | null,
    cache: ContractCache,
    apply: (config: AgentConfig, contracts: ContractPlan[]) => void,
    seen = signatureOf(ground.config.contracts, stampOfSource(source)),
  ) {
    this.#ground = ground;
    this.#source = source;
    this.#started = ground.config;
    this.#cache = cache;
    this.#apply = apply;
    this.state = { loadedAt: new Date(ground.now()), error: null, restartNeeded: [] };
    this.#seen = seen;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#settling);
  }

  #look(): void {
    const signature = this.#signature();
    if (signature !== this.#seen && this.#settling === undefined) this.#settle(signature);
  }

  #settle(before: string): void {
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      const signature = this.#signature();
      if (signature !== before) this.#settle(signature);
      else if (signature !== this.#seen) void this.now();
    }, SETTLE_MS).unref();
  }

  #signature(): string {
    return signatureOf(this.#ground.config.contracts, stampOfSource(this.#source));
  }

  /** Reads everything again; resolves when it is in force or refused. */
  now(): Promise<void> {
    this.#running = this.#running.then(() => this.#reload());
    return this.#running;
  }

  async #reload(): Promise<void> {
    const { log, telemetry, now } = this.#ground;
    // Before anything is read: what changes from here on is seen as a change.
    const own = stampOfSource(this.#source);
    let seen = signatureOf(this.#ground.config.contracts, own);
    try {
      const { config, faults } = (await this.#source?.read()) ?? { config: this.#started, faults: [] };
      // Globs may lead elsewhere now.
      const next = signatureOf(config?.contracts ?? [], own);
      const contracts =
        config === null ? { plans: [], files: [], faults: [] } : readContracts(config.contracts, this.#cache);
      const all = [...faults, ...contracts.faults];
      if (config === null || all.length > 0) throw new Error(all.join('\n'));
      const { effective, restartNeeded } = this.#effective(config);
      this.#apply(effective, contracts.plans);
      this.#ground.config = effective;
      seen = next;
      Object.assign(this.state, { loadedAt: new Date(now()), error: null, restartNeeded });
      const count = `${contracts.plans.length} contracts, ${effective.processors.length} processors`;
      log.info({ restart_needed: restartNeeded }, `configuration read again: ${count}`);
      for (const line of [...adviceOf(effective, contracts.plans.length), ...adviceOfContracts(contracts.files)])
        log.warn(line);
    } catch (error) {
      this.state.error = messageOf(error);
      telemetry.configErrors.inc();
      log.error(`a change of the configuration was refused, all stays as it was: ${messageOf(error)}`);
    }
    this.#seen = seen;
  }

  /** The new processors and contracts within everything else as it was at the start. */
  #effective(config: AgentConfig): { effective: AgentConfig; restartNeeded: string[] } {
    const started = this.#started;
    const restartNeeded = FIXED.flatMap((section) => changedKeys(started[section], config[section], section));
    const before = started.processors.find(({ type }) => type === 'sample');
    const processors = config.processors.flatMap((processor) => {
      if (processor.type !== 'sample') return [processor];
      if (before === undefined) {
        restartNeeded.push('processors.sample');
        return [];
      }
      const kept = { ...processor };
      for (const key of SAMPLE_FIXED) {
        if (!isDeepStrictEqual(kept[key], before[key])) restartNeeded.push(`processors.sample.${key}`);
        kept[key] = before[key];
      }
      return [kept];
    });
    return { effective: { ...started, processors, contracts: config.contracts }, restartNeeded };
  }
}

/** Names, sizes and times of all files there are now; `own`: agent.yaml's. */
export function signatureOf(contracts: readonly string[], own: string): string {
  const files = contractFiles(contracts).map((file) => `${file} ${stampOf(file)}`);
  return [...files, own].join('\n');
}

export function stampOfSource(source: ConfigFile | null): string {
  return source === null ? '' : `${source.file} ${stampOf(source.file)}`;
}

function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    // Gone, or a link to itself: who reads it says so.
    return String(error instanceof Error && 'code' in error ? error.code : error);
  }
}

/** Paths of what differs, as deep as there are maps. */
function changedKeys(before: unknown, after: unknown, path: string): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isRecord(before) || !isRecord(after)) return [path];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
    changedKeys(before[key], after[key], `${path}.${key}`),
  );
}
