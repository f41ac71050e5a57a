/** The contract language: its schema, and the step from what is written to what measure.ts and judge.ts work with. */
import { type Static, Type } from 'typebox';
import { AgentError } from '../core/errors.ts';
import { suggest } from '../core/nearest.ts';
import { parseDurationMs, parseShare } from '../core/units.ts';

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
const Operators = Type.Object(
  {
    gt: Type.Optional(Type.Number({ description: 'greater than' })),
    gte: Type.Optional(Type.Number({ description: 'greater than or equal' })),
    lt: Type.Optional(Type.Number({ description: 'less than' })),
    lte: Type.Optional(Type.Number({ description: 'less than or equal' })),
    like: Type.Optional(Type.String({ description: 'text with * for any characters' })),
    exists: Type.Optional(Type.Boolean({ description: 'whether the key is there at all' })),
    not: Type.Optional(
      Type.Union([Scalar, Type.Array(Scalar)], { description: 'anything but this; a missing key passes' }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
);
/** All keys must match; a list of values means any of them. */
export const Conditions = Type.Record(Type.String(), Type.Union([Scalar, Type.Array(Scalar), Operators]), {
  minProperties: 1,
  description:
    'Keys and the values they must have; all must match. span.name, span.kind, status, severity and body are intrinsic.',
});
export type ConditionMap = Static<typeof Conditions>;

const duration = (description: string, byDefault?: string) =>
  byDefault === undefined
    ? Type.String({ format: 'duration', description })
    : Type.String({ format: 'duration', description, default: byDefault });

const Signal = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Name of the signal, unique within the contract' }),
    of: Type.Union([Type.Literal('spans'), Type.Literal('logs')], { description: 'What is counted' }),
    where: Type.Optional(Conditions),
    bad: Type.Optional(
      Type.Union([Conditions, Type.Array(Conditions, { minItems: 1 })], {
        description: 'An item is bad when any of these matches',
      }),
    ),
    slower_than: Type.Optional(duration('A span that took longer is bad')),
    degraded: Type.Optional(Type.String({ description: 'Share of bad items, for example "above 1%"' })),
    breached: Type.String({ description: 'Share of bad items, for example "above 5%"' }),
    window: Type.Optional(duration("Measured over; default: the contract's")),
    min_items: Type.Optional(Type.Integer({ minimum: 1, description: 'Fewer items say nothing; default 50' })),
  },
  { additionalProperties: false },
);

export const contractSchema = Type.Object(
  {
    contract: Type.Literal('v1', { description: 'Version of this language' }),
    service: Type.String({ minLength: 1, description: "The resource's service.name" }),
    owner: Type.Optional(Type.String({ description: 'Who is responsible; appears in events' })),
    where: Type.Optional(Conditions),
    signals: Type.Array(Signal, {
      minItems: 1,
      maxItems: 16,
      description: 'What says whether the service is healthy; three is the idea',
    }),
    window: duration('Measured over', '1m'),
    for: duration('How long a worse value must hold before the state changes', '10s'),
    recover_after: duration('How long a better value must hold before the state changes back', '1m'),
    no_data: Type.Union([Type.Literal('freeze'), Type.Literal('ignore'), Type.Literal('breached')], {
      default: 'freeze',
      description: 'What too few items mean once there were enough',
    }),
    late_after: duration('Items whose own time is further behind are not judged', '2m'),
  },
  { additionalProperties: false },
);
export type ContractSource = Static<typeof contractSchema>;

export interface SignalPlan {
  name: string;
  /** Hash of everything that changes what is measured: windows of an unchanged signal survive a reload. */
  key: number;
  of: 'spans' | 'logs';
  /** All must match: the contract's (spans only) and the signal's own. */
  where: ConditionMap[];
  /** Any must match; empty when `slowerThanNs` decides. */
  bad: ConditionMap[];
  slowerThanNs: number;
  /** Shares of bad items, 0 to 1; Infinity when the level does not exist. */
  degradedAbove: number;
  breachedAbove: number;
  /** As written, for people. */
  thresholds: { degraded: string | null; breached: string };
  windowMs: number;
  minItems: number;
}

export interface ContractPlan {
  service: string;
  owner: string | null;
  version: string;
  signals: SignalPlan[];
  forMs: number;
  recoverAfterMs: number;
  noData: 'freeze' | 'ignore' | 'breached';
  lateAfterMs: number;
}

/** Where a fault lies, as keys and indexes from the top, and what it is. */
export interface ContractFault {
  path: (string | number)[];
  message: string;
}

const DEFAULT_MIN_ITEMS = 50;

/** Plans a contract that has passed the schema; every fault that the schema cannot see is reported, none is thrown. */
export function planContract(source: ContractSource): { plan: ContractPlan; faults: ContractFault[] } {
  const faults: ContractFault[] = [];
  const names = new Set<string>();
  if (source.where) faults.push(...enumFaults(source.where, ['where']));
  const signals = source.signals.map((signal, i) => {
    if (names.has(signal.name)) faults.push({ path: ['signals', i, 'name'], message: `"${signal.name}" stands twice` });
    names.add(signal.name);
    return planSignal(source, signal, ['signals', i], faults);
  });
  const plan: ContractPlan = {
    service: source.service,
    owner: source.owner ?? null,
    version: hashText(JSON.stringify(source)).toString(16).padStart(8, '0'),
    signals,
    forMs: durationOf(source.for),
    recoverAfterMs: durationOf(source.recover_after),
    noData: source.no_data,
    lateAfterMs: durationOf(source.late_after),
  };
  return { plan, faults };
}

/** Names of the integers that kinds and status codes are, by intrinsic key and in the order of their numbers. */
export const ENUM_NAMES: ReadonlyMap<string, readonly string[]> = new Map([
  ['span.kind', ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']],
  ['status', ['unset', 'ok', 'error']],
]);

/** Values that are compared with an enum and are none of its names: they would never match. */
function enumFaults(map: ConditionMap, path: (string | number)[]): ContractFault[] {
  return Object.entries(map).flatMap(([key, wanted]) => {
    const names = ENUM_NAMES.get(key);
    const given = typeof wanted === 'object' && !Array.isArray(wanted) ? (wanted.not ?? []) : wanted;
    const unknown = [given].flat().filter((one) => typeof one === 'string' && !names?.includes(one.toLowerCase()));
    if (names === undefined || unknown.length === 0) return [];
    const message = `"${unknown[0]}" is no ${key}: ${suggest(String(unknown[0]), names)}`;
    return [{ path: [...path, key], message }];
  });
}

type SignalSource = ContractSource['signals'][number];

function planSignal(
  source: ContractSource,
  signal: SignalSource,
  path: (string | number)[],
  faults: ContractFault[],
): SignalPlan {
  if ((signal.bad === undefined) === (signal.slower_than === undefined)) {
    faults.push({ path, message: `signal "${signal.name}" needs exactly one of bad, slower_than` });
  }
  if (signal.slower_than !== undefined && signal.of === 'logs') {
    faults.push({ path: [...path, 'slower_than'], message: 'log records have no duration: use of: spans' });
  }
  const where = [
    ...(signal.of === 'spans' && source.where ? [source.where] : []),
    ...(signal.where ? [signal.where] : []),
  ];
  const bad = signal.bad === undefined ? [] : Array.isArray(signal.bad) ? signal.bad : [signal.bad];
  if (signal.where) faults.push(...enumFaults(signal.where, [...path, 'where']));
  const badPath = (i: number) => (Array.isArray(signal.bad) ? [...path, 'bad', i] : [...path, 'bad']);
  for (const [i, map] of bad.entries()) faults.push(...enumFaults(map, badPath(i)));
  const breached = shareAbove(signal.breached, [...path, 'breached'], faults);
  const degraded =
    signal.degraded === undefined ? Infinity : shareAbove(signal.degraded, [...path, 'degraded'], faults);
  if (degraded !== Infinity && degraded > breached) {
    faults.push({
      path: [...path, 'degraded'],
      message: `degraded (${signal.degraded}) is beyond breached (${signal.breached})`,
    });
  }
  const slowerThanMs = signal.slower_than === undefined ? Infinity : durationOf(signal.slower_than);
  return {
    name: signal.name,
    key: hashText(JSON.stringify([source.service, signal.name, signal.of, where, bad, slowerThanMs])),
    of: signal.of,
    where,
    bad,
    slowerThanNs: slowerThanMs * 1e6,
    degradedAbove: degraded,
    breachedAbove: breached,
    thresholds: { degraded: signal.degraded ?? null, breached: signal.breached },
    windowMs: durationOf(signal.window ?? source.window),
    minItems: signal.min_items ?? DEFAULT_MIN_ITEMS,
  };
}

/** "above 5%" or "> 5%" as 0.05. */
function shareAbove(text: string, path: (string | number)[], faults: ContractFault[]): number {
  const match = /^(?:above|>)\s*(.+)$/.exec(text.trim());
  const share = match === null ? undefined : parseShare(match[1] as string);
  if (share !== undefined) return share;
  faults.push({ path, message: `"${text}" is no threshold: write for example "above 5%"` });
  return Infinity;
}

function durationOf(text: string): number {
  const ms = parseDurationMs(text);
  // The schema's format has let it pass.
  if (ms === undefined) throw new AgentError('CONTRACT_INVALID', `"${text}" is no duration`);
  return ms;
}

/** FNV-1a over UTF-16 units; 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}
