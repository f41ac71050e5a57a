/** agent.yaml to one validated object: composes the schemas that components export and says every fault with file, line and column. */
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { TSchema } from 'typebox';
import { contractSchema } from './contracts/contract.ts';
import type { ComponentWords } from './core/component.ts';
import { orderFaults, sharedFaults } from './core/componentFaults.ts';
import { forEditors } from './core/editorSchema.ts';
import { AgentError } from './core/errors.ts';
import { suggest } from './core/nearest.ts';
import { closed, compileSchema, isRecord, type SchemaCheck, type SchemaFault } from './core/schema.ts';
import { SETTINGS, type Settings, settingFaults } from './core/settings.ts';
import { Type } from './core/type.ts';
import { type Path, plainScalar, readYaml, type YamlSource, type YamlValue } from './core/yaml.ts';

/** What config needs to know of a component; the registries' definitions have it. */
export interface Configurable extends ComponentWords {
  /** Of processors alone: their place in the list. */
  kind?: 'editor' | 'observer' | 'selector';
  isSingle?: boolean;
}

interface ProcessorConfig {
  type: string;
  [key: string]: unknown;
}

export interface SinkConfig {
  type: string;
  /** Unique; the type unless the file says otherwise. */
  name: string;
  [key: string]: unknown;
}

/** The file with its defaults. Durations, sizes and shares are still text that core/units.ts reads; `contracts` are absolute globs. */
export interface AgentConfig extends Settings {
  processors: ProcessorConfig[];
  sinks: SinkConfig[];
}

export interface ConfigSource extends YamlSource {
  processors: readonly Configurable[];
  sinks: readonly Configurable[];
}

export interface ConfigReport {
  /** Null when there are faults. */
  config: AgentConfig | null;
  /** `FILE:LINE:COLUMN: message`, in the order of the file. */
  faults: string[];
  /** What an operator should know though nothing is wrong: sinks that were left out. */
  notes: string[];
}

type Kind = 'processors' | 'sinks';

const DRAFT = 'http://json-schema.org/draft-07/schema#';
/** Keys of every sink that only this file acts on. */
const SINK_KEYS = {
  name: Type.String({
    default: '',
    // It is the name of a folder, and a part of what cursors are kept by.
    pattern: '^(?!\\.{1,2}$)[^/\\\\]*$',
    patternErrorMessage: 'must be a name without slashes',
    description: 'Name in metrics, /status and cursors; unique. Default: the type.',
  }),
  optional: Type.Boolean({
    default: false,
    description: 'Leave the sink out when its brokers or endpoint come out empty, instead of refusing the start.',
  }),
};
const COMPONENT = Type.Object({ type: Type.String() }, { additionalProperties: true });

/** The validated configuration; throws CONFIG_INVALID with every fault, one a line. */
export function loadConfig(source: ConfigSource): { config: AgentConfig; notes: string[] } {
  const { config, faults, notes } = inspectConfig(source);
  if (config === null) throw new AgentError('CONFIG_INVALID', faults.join('\n'));
  return { config, notes };
}

/** The same without a throw, for those who tell faults themselves. */
export function inspectConfig(source: ConfigSource): ConfigReport {
  const yaml = readYaml(source);
  const inspection: Inspection = { yaml, faults: [...yaml.faults], notes: [] };
  const given = withoutNulls(yaml.value) ?? {};
  if (yaml.readable) check(inspection, SHELL, given, []);
  const file = yaml.readable && isRecord(given) ? given : {};
  const processors = readComponents<ProcessorConfig>(inspection, file, 'processors', source.processors);
  checkOrder(inspection, processors, source.processors);
  const sinks = readComponents<SinkConfig>(inspection, file, 'sinks', source.sinks);
  checkShared(inspection, sinks);
  // Rules between keys read values that are known to be sound: SHELL has checked that this is Settings.
  if (inspection.faults.length === 0) for (const fault of settingFaults(file as Settings)) add(inspection, fault);
  if (inspection.faults.length > 0) {
    return { config: null, faults: [...new Set(inspection.faults)].sort(byPlace), notes: [] };
  }
  const config = complete(file as Settings, processors, sinks, source.file);
  return { config, faults: [], notes: inspection.notes };
}

/** JSON Schema of agent.yaml, for editors and `plumbline schema`. */
export function schemaOfAgent(processors: readonly Configurable[], sinks: readonly Configurable[]): object {
  const list = (kind: Kind, known: readonly Configurable[], description: string) =>
    Type.Array(Type.Union(known.map((component) => schemaOf(kind, component))), { default: [], description });
  const schema = Type.Object({
    ...SETTINGS,
    processors: list('processors', processors, 'In this order: editors, then observers, then selectors.'),
    sinks: list('sinks', sinks, 'Where data goes, each sink at its own pace.'),
  });
  return { $schema: DRAFT, title: 'Plumbline agent.yaml', ...forEditors(closed(schema), true) };
}

/** JSON Schema of a contract file. */
export function schemaOfContract(): object {
  return { $schema: DRAFT, title: 'Plumbline contract', ...forEditors(closed(contractSchema), false) };
}

/** The faults of one file as they are found. */
interface Inspection {
  yaml: YamlValue;
  faults: string[];
  notes: string[];
}

/** A component that is sound, and where it stands in its list. */
interface Placed<Config> {
  index: number;
  config: Config;
}

const SHELL = compileSchema(
  Type.Object({
    ...SETTINGS,
    processors: Type.Array(COMPONENT, { default: [] }),
    sinks: Type.Array(COMPONENT, { default: [] }),
  }),
);

function add({ yaml, faults }: Inspection, { path, part, message }: SchemaFault): void {
  if (!yaml.isUnset(path)) faults.push(`${yaml.where(path, part)}: ${message}`);
}

/** Holds `value`, which stands at `base`, against a schema and fills in its defaults. True when it is sound. */
function check(inspection: Inspection, schema: SchemaCheck, value: unknown, base: Path): boolean {
  const type = base.length > 0 && isRecord(value) ? ` (${value.type})` : '';
  const within = (path: Path) => nameOf([...base, ...path]) + type;
  let faults = schema(value, within);
  const isVariable = (path: Path) => inspection.yaml.written([...base, ...path]) !== undefined;
  const retyped = faults.filter((fault) => isVariable(fault.path) && retype(fault, value));
  if (retyped.length > 0) faults = schema(value, within);
  for (const fault of faults) add(inspection, { ...fault, path: [...base, ...fault.path] });
  return faults.length === 0;
}

/** Variables give text; where a number or a boolean was asked for, reads it as one. True when that changed the value. */
function retype(fault: SchemaFault, value: unknown): boolean {
  const key = fault.path.at(-1);
  if (fault.part === 'key' || key === undefined) return false;
  const parent = fault.path.slice(0, -1).reduce<unknown>((at, step) => Reflect.get(Object(at), step), value);
  const text: unknown = Reflect.get(Object(parent), key);
  const plain = typeof text === 'string' ? plainScalar(text) : text;
  return plain !== text && Reflect.set(Object(parent), key, plain);
}

/** The sound components of a list; sinks that are optional and lead nowhere are left out. */
function readComponents<Config extends ProcessorConfig>(
  inspection: Inspection,
  file: object,
  kind: Kind,
  known: readonly Configurable[],
): Placed<Config>[] {
  const placed: Placed<Config>[] = [];
  const list: unknown = Reflect.get(file, kind);
  for (const [index, item] of Array.isArray(list) ? list.entries() : []) {
    if (!isRecord(item) || typeof item.type !== 'string') continue;
    const component = known.find(({ type }) => type === item.type);
    if (component === undefined) {
      const types = known.map(({ type }) => type);
      const message = `unknown type "${item.type}" in ${kind}[${index}]: ${suggest(item.type, types)}`;
      add(inspection, { path: [kind, index, 'type'], part: 'value', message });
    } else if (kind === 'processors' || leadsSomewhere(inspection, item, index)) {
      // The check has just filled in and held what the component's schema promises.
      const sound = check(inspection, compileSchema(schemaOf(kind, component)), item, [kind, index]);
      const fault = sound ? (component.fault?.(item) ?? null) : null;
      if (fault !== null) {
        const message = `${kind}[${index}] (${item.type}): ${fault}`;
        add(inspection, { path: [kind, index], part: 'value', message });
      } else if (sound) placed.push({ index, config: item as Config });
    }
  }
  return placed;
}

/** Splits comma-separated `brokers`; says whether a sink has somewhere to send to. */
function leadsSomewhere(inspection: Inspection, sink: Record<string, unknown>, index: number): boolean {
  if (typeof sink.brokers === 'string') sink.brokers = [sink.brokers];
  if (Array.isArray(sink.brokers)) {
    sink.brokers = sink.brokers.flatMap((item) => (typeof item === 'string' ? splitList(item) : [item]));
  }
  const isEmptyList = Array.isArray(sink.brokers) && sink.brokers.length === 0;
  if (!isEmptyList && sink.endpoint !== '') return true;
  const key = isEmptyList ? 'brokers' : 'endpoint';
  const name = `sinks[${index}] (${sink.type})`;
  // A variable gives a text, which the check has not read yet.
  const isWritten = inspection.yaml.written(['sinks', index, 'optional']) !== undefined;
  const isOptional = isWritten ? plainScalar(String(sink.optional)) : sink.optional;
  if (isOptional === true) inspection.notes.push(`${name} is left out: ${key} is empty and it is optional`);
  else {
    const message = `${key} of ${name} is empty: set it, or say \`optional: true\` to leave the sink out`;
    add(inspection, { path: ['sinks', index, key], part: 'value', message });
  }
  return false;
}

function checkOrder(inspection: Inspection, placed: Placed<ProcessorConfig>[], known: readonly Configurable[]): void {
  const described = placed.map(({ index, config: { type } }) => ({
    ...known.find((one) => one.type === type),
    index,
    type,
  }));
  for (const { index, message } of orderFaults(described))
    add(inspection, { path: ['processors', index], part: 'value', message });
}

function checkShared(inspection: Inspection, placed: Placed<SinkConfig>[]): void {
  for (const { config } of placed) config.name ||= config.type;
  for (const { index, key, message } of sharedFaults(placed))
    add(inspection, { path: ['sinks', index, key], part: 'value', message });
}

function complete(
  settings: Settings,
  processors: Placed<ProcessorConfig>[],
  sinks: Placed<SinkConfig>[],
  file: string,
): AgentConfig {
  const { agent, admin, ingest, journal, contracts } = settings;
  return {
    agent: { ...agent, id: agent.id || hostname() },
    admin,
    ingest,
    journal: { ...journal, directory: journal.directory || join(agent.data_dir, 'journal') },
    contracts: contracts.map((glob) => resolve(dirname(file), glob)),
    processors: processors.map(({ config }) => config),
    sinks: sinks.map(({ config }) => config),
  };
}

function schemaOf(kind: Kind, { type, summary, config }: Configurable): TSchema {
  const keys = { type: Type.Literal(type), ...(kind === 'sinks' ? SINK_KEYS : {}), ...config.properties };
  return Type.Object(keys, { description: summary });
}

/** A key without a value (`journal:`) is a key that is missing. Copies, so that aliases share nothing. */
function withoutNulls(value: unknown): object | null {
  return JSON.parse(JSON.stringify(value ?? null), (_key, part: unknown) => {
    if (!isRecord(part)) return part;
    return Object.fromEntries(Object.entries(part).filter(([, inner]) => inner !== null));
  });
}

/** ["sinks", 1, "sasl"] is "sinks[1].sasl". */
function nameOf(path: Path): string {
  if (path.length === 0) return 'the file';
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** By line and column; what has no place in the file comes last. */
function byPlace(a: string, b: string): number {
  const [first, second] = [a, b].map(
    (fault) => /:(\d+):(\d+): /.exec(fault)?.slice(1).map(Number) ?? [Number.MAX_SAFE_INTEGER, 0],
  );
  return (first?.[0] ?? 0) - (second?.[0] ?? 0) || (first?.[1] ?? 0) - (second?.[1] ?? 0);
}
