/** Look-backs: from a contract that breaks to what the selection is asked for, remembered until it is past it, and told as an event. */
import { type ContractPlan, resourceOf } from '../contracts/plan.ts';
import { UNIT_BYTES } from '../core/block.ts';
import { bytesPerSecondOf, millisecondsOf, shareOf } from '../core/units.ts';
import { type Bits56, thresholdOf } from '../otlp/tracestate.ts';
import { emitEvents } from '../processors/events.ts';
import type { TraceTableHandle } from '../processors/processor.ts';
import { BASE } from '../processors/sample/classes.ts';
import type { SampleConfig } from '../processors/sample/config.ts';
import { readSlot, settledSlot } from '../processors/sample/slots.ts';
import type { LookBack, LookedBack } from '../worker/lookBack.ts';
import type { LookBackOptions } from '../worker/recalls.ts';
import { SEEN_KEY_BYTES } from '../worker/seen.ts';
import { type Ground, sampleOf } from './ground.ts';
import type { Store } from './store.ts';

const KEY = 'look_backs';
/** A breach that is judged again after a crash is the same for so long. */
const REMEMBERED_MS = 15 * 60_000;
const SEVERITY_INFO = 9;
/** Of the blocks' memory, which it takes beside them: what was kept of the time of a look-back, as far as it is noted at once. */
const SEEN_SHARE = 1 / 16;

interface Remembered {
  wanted: LookBack;
  state: 'wanted' | 'told' | 'passed';
}

export class LookBacks {
  /** For the selection. */
  readonly options: LookBackOptions;
  readonly #ground: Ground;
  readonly #store: Store;
  readonly #traces: TraceTableHandle | null;
  #all: Remembered[];
  #recall: ((wanted: LookBack) => void) | null = null;

  constructor(ground: Ground, store: Store, traces: TraceTableHandle | null) {
    this.#ground = ground;
    this.#store = store;
    this.#traces = traces;
    // Written here before.
    this.#all = (store.table.value(KEY) ?? []) as Remembered[];
    this.options = {
      readDerived: (from, maxBytes) => store.derived.readAll(from, maxBytes),
      since: (ms) => store.memory.history.since(ms),
      mostSeen: Math.floor((ground.pool.units * UNIT_BYTES * SEEN_SHARE) / SEEN_KEY_BYTES),
      begins: () => this.#save(),
      told: (wanted, came) => this.#tell(wanted, came),
      passed: (wanted) => this.#mark(wanted, 'passed'),
    };
  }

  /** Those that a crash interrupted, and whatever comes. */
  start(recall: (wanted: LookBack) => void): void {
    this.#recall = recall;
    for (const { wanted, state } of this.#all) if (state !== 'passed') recall(wanted);
  }

  /** A contract broke at `breachMs`. */
  ask(plan: ContractPlan, breachMs: number): void {
    const { config, now } = this.#ground;
    const sample = sampleOf(config);
    if (sample === undefined) return;
    const { keep, lookBackMs, bytesPerSecond } = plan.onBreach;
    const spanMs = Math.min(lookBackMs, millisecondsOf(config.journal.look_back));
    const share = Math.min(keep, shareOf(sample.on_breach_max.keep));
    if (spanMs === 0 || share === 0) return;
    const { service, namespace, environment, serviceVersion } = plan;
    const whose = { service, namespace, environment, serviceVersion };
    this.#all = this.#all.filter((one) => one.state !== 'passed' || one.wanted.breachMs > now() - REMEMBERED_MS);
    // A breach is judged again when the agent was killed after it.
    if (this.#all.some(({ wanted }) => isSame(wanted, { whose, breachMs }))) return;
    const perSecond = Math.min(bytesPerSecond, bytesPerSecondOf(sample.on_breach_max.budget));
    const wanted: LookBack = {
      whose,
      breachMs,
      fromMs: breachMs - spanMs,
      // What came until it was noticed is not marked as of a broken contract.
      toMs: Math.max(breachMs, now()),
      keep: share,
      mostBytes: Number.isFinite(perSecond) ? (perSecond * spanMs) / 1000 : null,
      undecidedFrom: null,
      base: this.#base(sample),
    };
    this.#all.push({ wanted, state: 'wanted' });
    this.#store.memory.owe(KEY, this.#all);
    this.#recall?.(wanted);
  }

  /** The base share's threshold of the last slot: what is not decided yet has none of its own. */
  #base({ base }: SampleConfig): Bits56 {
    const bits = thresholdOf(shareOf(base)).bits;
    if (this.#traces === null || this.#traces.lagMs === 0) return bits;
    const slots = new Uint32Array(this.#traces.slots);
    readSlot(slots, settledSlot(slots) - 1, BASE, bits);
    return bits;
  }

  #mark(wanted: LookBack, state: Remembered['state']): void {
    const found = this.#all.find((one) => isSame(one.wanted, wanted));
    if (found === undefined) return;
    found.state = state;
    this.#store.table.setValue(KEY, this.#all);
  }

  async #save(): Promise<void> {
    this.#store.table.setValue(KEY, this.#all);
    await this.#store.table.save();
  }

  #tell(wanted: LookBack, { coveredMs, items, bytes, share, parts }: LookedBack): void {
    const found = this.#all.find((one) => isSame(one.wanted, wanted));
    const { now, log } = this.#ground;
    const { agent, memory } = this.#store;
    const { service } = wanted.whose;
    log.info({ service, items, bytes, parts }, 'looked back after a breach');
    // Once: a look-back that is done again after a crash adds only what was missing.
    if (found === undefined || found.state !== 'wanted') return;
    this.#mark(wanted, 'told');
    const from = new Date(coveredMs).toISOString();
    const event = {
      name: 'plumbline.look_back',
      timeMs: now(),
      severity: SEVERITY_INFO,
      body: `${service}: ${items} items from before the breach are sampled after all, from ${from} on`,
      resource: resourceOf(wanted.whose),
      attributes: {
        'contract.service': service,
        'look_back.from': from,
        'look_back.until': new Date(wanted.toMs).toISOString(),
        'look_back.complete': coveredMs <= wanted.fromMs,
        'look_back.share': share,
        'look_back.parts': BigInt(parts),
        items: BigInt(items),
        'plumbline.agent': agent,
      },
    };
    memory.tell(emitEvents([event], event.timeMs));
  }
}

function isSame(one: Pick<LookBack, 'whose' | 'breachMs'>, other: Pick<LookBack, 'whose' | 'breachMs'>): boolean {
  return one.breachMs === other.breachMs && JSON.stringify(one.whose) === JSON.stringify(other.whose);
}
