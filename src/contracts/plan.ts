/** What a contract comes to: plain data, which travels as JSON and which measure.ts, points.ts and judge.ts work with. */
import type { Across, ConditionMap, NO_DATA, Take } from './contract.ts';
import type { Unit } from './threshold.ts';

/** `share`: of bad or slow items. `burn`: how fast an objective's budget burns. `silence`: since the last item. */
export type Measured = 'share' | 'burn' | 'rate' | 'take' | 'silence';

export interface SignalPlan {
  name: string;
  /** Hash of everything that changes what is measured, 53 bits: windows of an unchanged signal survive a reload. */
  key: number;
  of: 'spans' | 'logs' | 'metrics';
  /** Names the metric has had; empty unless `of` is metrics. */
  metrics: string[];
  measured: Measured;
  /** The signal's own conditions; those of the contract come first, for spans. */
  where: ConditionMap | null;
  /** Any must match. */
  bad: ConditionMap[];
  slowerThanMs: number | null;
  take: Take | null;
  /** Of `take: p95`: 0.95. */
  quantile: number | null;
  /** `duration` or an attribute of spans, `sum` of a histogram; null: the metric's own value. */
  value: string | null;
  across: Across | null;
  unit: Unit;
  direction: 1 | -1;
  degraded: number | null;
  breached: number;
  /** Share of bad items that the objective allows; null without one. */
  budget: number | null;
  /** As written, for people. */
  thresholds: { degraded: string | null; breached: string };
  windowMs: number;
  minItems: number;
  forMs: number;
  recoverAfterMs: number;
  noData: (typeof NO_DATA)[number];
}

/** How a contract names the resources it is about. */
export interface Whose {
  service: string;
  namespace: string | null;
  environment: string | null;
  serviceVersion: string | null;
}

export interface ContractPlan extends Whose {
  owner: string | null;
  version: string;
  /** Joins every signal over spans. */
  where: ConditionMap | null;
  signals: SignalPlan[];
  lateAfterMs: number;
  per: string | null;
  /** How many a span without `th` stands for. */
  upstreamWeight: number;
  /** What sampling is asked for when it breaks. */
  onBreach: { keep: number; lookBackMs: number; bytesPerSecond: number };
}

/** What a signal is called wherever it is told of, whatever it measures. */
export function nameOfSignal(of: Whose, name: string): string {
  return JSON.stringify([of.service, of.namespace, of.environment, of.serviceVersion, name]);
}

/** The attributes of those resources, as far as the contract says them. */
export function resourceOf({ service, ...more }: Whose): Record<string, string> {
  return { 'service.name': service, ...besideName(more) };
}

/** Of these what stands beside the service's name. */
export function besideName({ namespace, environment, serviceVersion }: Omit<Whose, 'service'>): Record<string, string> {
  return {
    ...(namespace === null ? {} : { 'service.namespace': namespace }),
    ...(environment === null ? {} : { 'deployment.environment.name': environment }),
    ...(serviceVersion === null ? {} : { 'service.version': serviceVersion }),
  };
}

/** Where a fault lies, as keys and indexes from the top, and what it is. */
export interface ContractFault {
  path: (string | number)[];
  message: string;
}
