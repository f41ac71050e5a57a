/** One signal of a contract: from what is written to its plan, and the faults that the schema cannot see. */
import { millisecondsOf, parseDurationMs, parseShare } from '../core/units.ts';
import { conditionFaults } from './conditionFaults.ts';
import type { Across, ConditionMap, ContractSource, SignalSource, Take } from './contract.ts';
import { hashText } from './hash.ts';
import type { ContractFault, Measured, SignalPlan } from './plan.ts';
import { BURN_PAIRS, EXAMPLES, parseThreshold, type Threshold, type Unit } from './threshold.ts';

const DEFAULT_MIN_ITEMS = 50;
/** What decides that an item is bad or what is measured: a signal has exactly one. */
const KINDS = ['bad', 'slower_than', 'rate', 'take', 'silent_for'] as const;
const LONGEST_WINDOW_MS = 7 * 86_400_000;
/** Raised when what is kept of metrics and of percentiles changes: what was saved in another form is dropped with its key. */
const FORM = 1;

/** No share is above 100 % or below 0 %. */
function isBeyondReach({ direction, limit, unit }: Threshold): boolean {
  return unit === 'share' && (direction > 0 ? limit >= 1 : limit <= 0);
}

/** One signal; a class because its faults and its place go with every step. */
export class SignalPlanner {
  readonly #source: ContractSource;
  readonly #signal: SignalSource;
  readonly #path: (string | number)[];
  readonly #faults: ContractFault[];

  constructor(source: ContractSource, signal: SignalSource, path: (string | number)[], faults: ContractFault[]) {
    this.#source = source;
    this.#signal = signal;
    this.#path = path;
    this.#faults = faults;
  }

  #fault(message: string, ...keys: (string | number)[]): void {
    this.#faults.push({ path: [...this.#path, ...keys], message });
  }

  plan(): SignalPlan {
    const source = this.#source;
    const signal = this.#signal;
    const of = this.#of();
    const measured = this.#measured();
    const bad = signal.bad === undefined ? [] : [signal.bad].flat();
    this.#checkConditions(of, bad);
    const value = this.#value(of, measured);
    const quantile = quantileOf(signal.take ?? null);
    const isShare = measured === 'share' || measured === 'burn';
    // Windows of an objective, and silence, are their own time to hold.
    const forMs = measured === 'burn' || measured === 'silence' ? 0 : millisecondsOf(source.for);
    const across = this.#across(of, measured);
    const made = {
      name: signal.name,
      of,
      metrics: signal.metric === undefined ? [] : [signal.metric].flat(),
      measured,
      where: signal.where ?? null,
      bad,
      slowerThanMs: signal.slower_than === undefined ? null : millisecondsOf(signal.slower_than),
      take: signal.take ?? null,
      quantile,
      value,
      across,
      ...this.#limits(measured, value),
      windowMs: this.#window(measured),
      minItems: signal.min_items ?? (isShare ? (source.min_items ?? DEFAULT_MIN_ITEMS) : 1),
      forMs,
      recoverAfterMs: millisecondsOf(source.recover_after),
      noData: source.no_data,
    };
    return { ...made, key: keyOf(source, made) };
  }

  #of(): SignalPlan['of'] {
    const { of, metric } = this.#signal;
    if ((of === undefined) === (metric === undefined))
      this.#fault(`signal "${this.#signal.name}" needs exactly one of of, metric`, ...(of === undefined ? [] : ['of']));
    return of ?? 'metrics';
  }

  #measured(): Measured {
    const signal = this.#signal;
    const kinds = KINDS.filter((kind) => signal[kind] !== undefined);
    if (kinds.length !== 1) this.#fault(`signal "${signal.name}" needs exactly one of ${KINDS.join(', ')}`);
    if (signal.slower_than !== undefined && signal.of === 'logs')
      this.#fault('log records have no duration: use of: spans', 'slower_than');
    if (signal.objective !== undefined && kinds[0] !== 'bad' && kinds[0] !== 'slower_than')
      this.#fault('an objective is a share of good items: it goes with bad or slower_than', 'objective');
    if (signal.silent_for !== undefined && this.#source.per !== undefined)
      this.#fault(
        'an instance that is gone is silent for ever: silent_for cannot be judged per instance',
        'silent_for',
      );
    switch (kinds[0]) {
      case 'rate':
        return 'rate';
      case 'take':
        return 'take';
      case 'silent_for':
        return 'silence';
      default:
        return signal.objective === undefined ? 'share' : 'burn';
    }
  }

  #checkConditions(of: SignalPlan['of'], bad: ConditionMap[]): void {
    const { where, bad: written } = this.#signal;
    const at = (keys: (string | number)[]) => [...this.#path, ...keys];
    if (where) this.#faults.push(...conditionFaults(where, of, at(['where'])));
    for (const [i, map] of bad.entries())
      this.#faults.push(...conditionFaults(map, of, at(Array.isArray(written) ? ['bad', i] : ['bad'])));
  }

  #value(of: SignalPlan['of'], measured: Measured): string | null {
    const { value } = this.#signal;
    if (of === 'metrics') {
      if (value !== undefined && !(value === 'sum' && measured === 'rate'))
        this.#fault('a metric has its own value: only rate of a histogram takes value: sum', 'value');
    } else if (measured === 'take') {
      if (value === undefined) this.#fault('take needs a value: duration, or a numeric attribute');
      else if (value === 'duration' && of === 'logs')
        this.#fault('log records have no duration: name a numeric attribute', 'value');
    } else if (value !== undefined) this.#fault('value goes with take', 'value');
    return value ?? null;
  }

  #across(of: SignalPlan['of'], measured: Measured): Across | null {
    const { across } = this.#signal;
    if (across !== undefined && !(of === 'metrics' && measured === 'take'))
      this.#fault('across joins the series of a metric: it goes with metric and take', 'across');
    return across ?? null;
  }

  #window(measured: Measured): number {
    const { window } = this.#signal;
    if (window !== undefined && (measured === 'burn' || measured === 'silence'))
      this.#fault(`${measured === 'burn' ? 'an objective' : 'silent_for'} has its own windows`, 'window');
    if (measured === 'burn') return BURN_PAIRS[1].longMs;
    const ms = millisecondsOf(window ?? this.#source.window);
    if (ms < 1000 || ms > LONGEST_WINDOW_MS) {
      const at = window === undefined ? [] : ['window'];
      this.#fault(`a window is from 1s to 7d, found ${window ?? this.#source.window}`, ...at);
    }
    return ms;
  }

  #limits(measured: Measured, value: string | null): Limits {
    const signal = this.#signal;
    if (measured === 'burn' || measured === 'silence') return this.#ownLimits(measured);
    const none: Limits = { ...UNJUDGED, thresholds: { degraded: signal.degraded ?? null, breached: '' } };
    if (signal.breached === undefined) {
      this.#fault(`missing key "breached" in signal "${signal.name}"`);
      return none;
    }
    const breached = this.#threshold('breached', signal.breached, measured, value);
    const degraded =
      signal.degraded === undefined ? null : this.#threshold('degraded', signal.degraded, measured, value);
    if (breached === undefined || degraded === undefined) return none;
    const { direction, limit, unit } = breached;
    if (degraded !== null && degraded.direction !== direction)
      this.#fault('degraded and breached look in different directions: write above for both, or below', 'degraded');
    else if (degraded !== null && (degraded.limit - limit) * direction > 0)
      this.#fault(`degraded (${signal.degraded}) is beyond breached (${signal.breached})`, 'degraded');
    return {
      unit,
      direction,
      degraded: degraded?.limit ?? null,
      breached: limit,
      budget: null,
      thresholds: { degraded: signal.degraded ?? null, breached: signal.breached },
    };
  }

  #threshold(key: 'degraded' | 'breached', text: string, measured: Measured, value: string | null) {
    const threshold = parseThreshold(text);
    const units: Unit[] =
      measured === 'share'
        ? ['share']
        : measured === 'rate'
          ? ['per_second']
          : value === 'duration'
            ? ['ms']
            : ['number', 'ms'];
    const fits = threshold !== undefined && units.includes(threshold.unit);
    if (fits && !isBeyondReach(threshold)) return threshold satisfies Threshold;
    const wayOut = `write for example ${units.map((unit) => EXAMPLES[unit]).join(' or ')}`;
    this.#fault(`"${text}" ${fits ? 'never holds' : 'is no threshold here'}: ${wayOut}`, key);
    return undefined;
  }

  /** An objective and a silence say themselves when they are breached. */
  #ownLimits(measured: 'burn' | 'silence'): Limits {
    const { degraded, breached, objective, silent_for } = this.#signal;
    const word = measured === 'burn' ? 'objective' : 'silent_for';
    if (degraded !== undefined) this.#fault(`${word} replaces thresholds`, 'degraded');
    if (breached !== undefined) this.#fault(`${word} replaces thresholds`, 'breached');
    if (measured === 'silence') {
      const text = silent_for ?? '';
      const breachedMs = parseDurationMs(text) ?? Infinity;
      return {
        ...UNJUDGED,
        unit: 'ms',
        breached: breachedMs,
        thresholds: { degraded: null, breached: `above ${text}` },
      };
    }
    const budget = 1 - (parseShare(objective ?? '') ?? 0);
    if (budget <= 0)
      this.#fault('100% leaves no budget that could burn: promise less, or use a threshold', 'objective');
    // Rounded, so that 99.9% allows 0.001 and not 0.0010000000000000009.
    const rounded = Number(budget.toPrecision(12));
    const [fast, slow] = BURN_PAIRS;
    const text = `${objective} (burn above ${fast.factor} over 1h and 5m, or ${slow.factor} over 6h and 30m)`;
    return { ...UNJUDGED, budget: rounded, breached: 1, thresholds: { degraded: null, breached: text } };
  }
}

type Limits = Pick<SignalPlan, 'unit' | 'direction' | 'degraded' | 'breached' | 'budget' | 'thresholds'>;
const UNJUDGED: Limits = {
  unit: 'number',
  direction: 1,
  degraded: null,
  breached: 0,
  budget: null,
  thresholds: { degraded: null, breached: '' },
};

/** Of what is measured and of whom; not of limits and times, which change nothing that is counted. */
function keyOf(source: ContractSource, signal: Omit<SignalPlan, 'key'>): number {
  const { service, namespace, environment, service_version, per, upstream_sampling, late_after } = source;
  const whose = [service, namespace, environment, service_version, per, upstream_sampling, late_after];
  const { name, of, metrics, where, bad, slowerThanMs, take, value, across } = signal;
  const measured = signal.measured === 'burn' ? 'share' : signal.measured;
  // A duration threshold makes workers read the metric's unit.
  const inMs = of === 'metrics' && signal.unit === 'ms';
  const joined = of === 'spans' ? (source.where ?? null) : null;
  const what = [whose, name, of, metrics, joined, where, bad, slowerThanMs, measured, take, value, across, inMs];
  return hashText(JSON.stringify(of === 'metrics' || signal.quantile !== null ? [...what, FORM] : what));
}

/** Of p95: 0.95. */
function quantileOf(take: Take | null): number | null {
  const digits = take === null ? null : /^p(.+)$/.exec(take);
  return digits === null ? null : Number(digits[1]) / 100;
}
