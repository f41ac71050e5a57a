/** Holds a value against a JSON Schema: fills in defaults and says each fault in words; where it stands in a file is the caller's to add. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { TSchema } from 'typebox';
import { endpointHint, parseEndpoint, parseUnixEndpoint } from './endpoint.ts';
import { nearest, suggest } from './nearest.ts';
import { parseBytes, parseBytesPerSecond, parseDurationMs, parseShare } from './units.ts';
import type { Path } from './yaml.ts';

export interface SchemaFault {
  path: Path;
  /** What the fault is about: the key's name or what it is set to. */
  part: 'key' | 'value';
  message: string;
}

/** Faults of the value; fills its missing keys with the schema's defaults. `within` names the value in messages. */
export type SchemaCheck = (value: unknown, within: (path: Path) => string) => SchemaFault[];

/** String formats that schemas may name, each with its parser, what it looks like, and what to say of a text that nearly does. */
const FORMATS: Record<string, { valid: (text: string) => boolean; expects: string; hint?: (text: string) => string }> =
  {
    duration: {
      valid: (text) => isNumber(parseDurationMs(text)),
      expects: 'a duration such as 200ms, 10s, 5m, 2h or 7d',
    },
    positive_duration: {
      valid: (text) => (parseDurationMs(text) ?? 0) > 0,
      expects: 'a duration above 0 such as 200ms, 10s, 5m, 2h or 7d',
    },
    bytes: { valid: (text) => isNumber(parseBytes(text)), expects: 'a size such as 16KiB, 4MiB or 8GiB' },
    positive_bytes: {
      valid: (text) => (parseBytes(text) ?? 0) > 0,
      expects: 'a size above 0 such as 16KiB, 4MiB or 8GiB',
    },
    rate: { valid: (text) => isNumber(parseBytesPerSecond(text)), expects: 'a rate such as 20MiB/min' },
    share: { valid: (text) => isNumber(parseShare(text)), expects: 'a share from 0% to 100%' },
    http_url: {
      valid: (text) => /^https?:\/\/[^\s?#@]+$/i.test(text) && URL.canParse(text),
      expects: 'a URL such as https://collector:4318, without user, query or fragment',
    },
    record_key: {
      valid: (text) => /^(none|service|trace_id|resource\..+)$/.test(text),
      expects: 'none, service, trace_id or resource.NAME such as resource.k8s.pod.name',
    },
    host_port: {
      valid: (text) => parseEndpoint(text) !== undefined,
      expects: 'HOST:PORT such as 127.0.0.1:4318',
      hint: endpointHint,
    },
    listen_address: {
      valid: (text) => parseEndpoint(text) !== undefined || parseUnixEndpoint(text) !== undefined,
      expects: 'HOST:PORT such as 127.0.0.1:4318, or unix:/PATH of at most 107 bytes',
      hint: endpointHint,
    },
  };

/** `path_file` names a file, not a secret. */
const SECRET = /(password|passphrase|secret|token|credential|private|authorization|api_?-?key|headers)(?!.*_file$)/i;
const MOST_SHOWN = 60;
/** Faults that say a value is of another kind than a union's branch; ajv's own words do for all others. */
const IN_OUR_WORDS = new Set(['type', 'const', 'enum', 'format', 'union']);

const ajv = createAjv();

/** Compiles a schema once, when it is first needed; objects in it that do not say otherwise refuse unknown keys. */
export function compileSchema(schema: TSchema): SchemaCheck {
  let validate: ValidateFunction | undefined;
  const compile = () => {
    const copy = closed(schema);
    const compiled = ajv.compile(copy);
    // Ajv remembers schemas for ever, and a reload compiles them again.
    ajv.removeSchema(copy);
    return compiled;
  };
  return (value, within) => {
    validate ??= compile();
    if (validate(value)) return [];
    const faults = mostTelling(validate.errors ?? []).map((error) => inWords(error, value, within));
    // A literal of another type fails its type and its value, in the same words.
    const said = new Map(faults.map((fault) => [JSON.stringify(fault), fault]));
    return [...said.values()];
  };
}

/** The schema with `additionalProperties: false` in every object that lists its properties. */
export function closed(schema: TSchema): TSchema {
  return JSON.parse(JSON.stringify(schema), (_key, part: unknown) => {
    if (!isRecord(part) || part.type !== 'object' || !isRecord(part.properties)) return part;
    return 'additionalProperties' in part ? part : { ...part, additionalProperties: false };
  });
}

/** A value as messages show it: scalars shortened, the rest by kind, and nothing that may be secret. */
export function show(value: unknown, path: Path): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (path.some((step) => SECRET.test(String(step)))) return 'a value that is not shown';
  // A URL may carry user and password before its host.
  const text = String(value).replace(/\/\/[^/@\s]*@/g, '//...@');
  const line = text.replace(/\p{Cc}/gu, (control) => JSON.stringify(control).slice(1, -1));
  const short = line.length > MOST_SHOWN ? `${line.slice(0, MOST_SHOWN)}...` : line;
  return typeof value === 'string' ? `"${short}"` : short;
}

function createAjv(): Ajv {
  // Each check runs a few times in a process: passes that make its code faster cost more than they save.
  const code = { optimize: false };
  // What is no finite number does not survive the way to a worker, as JSON.
  const strict = { strict: false, strictNumbers: true };
  const instance = new Ajv({ allErrors: true, useDefaults: true, verbose: true, ...strict, logger: false, code });
  for (const [name, format] of Object.entries(FORMATS)) instance.addFormat(name, format.valid);
  return instance;
}

/**
 * Of a union's errors, those of the one branch that was meant (the value has its type), else the union's own. Ajv lists the
 * branches' errors before the union's, and their schemaPath begins with its.
 */
function mostTelling(errors: ErrorObject[]): ErrorObject[] {
  const union = errors.find((error) => error.keyword === 'anyOf' || error.keyword === 'oneOf');
  if (union === undefined) return errors;
  const inside = (error: ErrorObject) =>
    error.schemaPath.startsWith(`${union.schemaPath}/`) && error.instancePath.startsWith(union.instancePath);
  const branches = Map.groupBy(errors.filter(inside), (error) => branchOf(error, union));
  const meant = [...branches.values()]
    .filter((branch) =>
      branch.every((error) => error.instancePath !== union.instancePath || !IN_OUR_WORDS.has(error.keyword)),
    )
    .sort((a, b) => a.length - b.length)[0];
  const kept = errors.filter((error) => !inside(error) && error !== union);
  // Renamed so that the next round leaves it alone; a union around it still sees that this branch was meant.
  if (meant === undefined)
    return mostTelling(
      errors.flatMap((error) => {
        if (error === union) return [{ ...union, keyword: 'union' }];
        return inside(error) ? [] : [error];
      }),
    );
  return mostTelling([...meant, ...kept]);
}

function branchOf(error: ErrorObject, union: ErrorObject): string {
  return error.schemaPath.slice(union.schemaPath.length + 1).split('/')[0] ?? '';
}

function inWords(error: ErrorObject, root: unknown, within: (path: Path) => string): SchemaFault {
  const path = stepsOf(error.instancePath, root);
  const schema: unknown = error.parentSchema;
  if (error.keyword === 'additionalProperties') {
    const key = String(error.params.additionalProperty);
    const known = isRecord(schema) && isRecord(schema.properties) ? Object.keys(schema.properties) : [];
    return {
      path: [...path, key],
      part: 'key',
      message: `unknown key "${key}" in ${within(path)}: ${suggest(key, known)}`,
    };
  }
  if (error.keyword === 'required') {
    return { path, part: 'key', message: `missing key "${error.params.missingProperty}" in ${within(path)}` };
  }
  const { limit } = error.params;
  if (['minItems', 'minLength', 'minProperties'].includes(error.keyword) && limit === 1)
    return { path, part: 'value', message: `${within(path)} must not be empty` };
  if (error.keyword === 'uniqueItems') {
    const twice: unknown = Array.isArray(error.data) ? error.data[error.params.i] : undefined;
    return { path, part: 'value', message: `${within(path)} has ${show(twice, path)} twice` };
  }
  // Bounds and other lengths read well as ajv puts them: "must be >= 1".
  const ajvs = (error.keyword === 'pattern' && patternWords(schema)) || (error.message ?? error.keyword);
  const rule = IN_OUR_WORDS.has(error.keyword) ? `must be ${expectation(schema)}` : ajvs;
  const message = `${within(path)} ${rule}, found ${show(error.data, path)}`;
  return { path, part: 'value', message: message + wayOut(schema, error.data) };
}

/** What a pattern asks for, in words: the keyword is that of YAML's language server, so that editors say the same. */
function patternWords(schema: unknown): string {
  return isRecord(schema) && typeof schema.patternErrorMessage === 'string' ? schema.patternErrorMessage : '';
}

/** What a schema asks for, in words. */
function expectation(schema: unknown): string {
  if (!isRecord(schema)) return 'something else';
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) return [...new Set(branches.map((branch) => expectation(branch)))].join(' or ');
  if ('const' in schema) return String(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.join(' or ');
  const format = FORMATS[String(schema.format)];
  if (format !== undefined) return format.expects;
  return TYPE_WORDS[String(schema.type)] ?? String(schema.type ?? 'something else');
}

const TYPE_WORDS: Record<string, string> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
};

/** The hint of its format, what `x-instead` says of this word, or `: did you mean "x"?` where one of a few was expected. */
function wayOut(schema: unknown, found: unknown): string {
  if (typeof found !== 'string' || !isRecord(schema)) return '';
  const hint = FORMATS[String(schema.format)]?.hint;
  if (hint !== undefined) return hint(found);
  const instead = schema['x-instead'];
  if (isRecord(instead) && Object.hasOwn(instead, found)) return `: ${instead[found]}`;
  const branches = schema.anyOf ?? schema.oneOf;
  const words: unknown[] = Array.isArray(branches)
    ? branches.map((branch: unknown) => (isRecord(branch) ? branch.const : undefined))
    : [schema.const, ...(Array.isArray(schema.enum) ? schema.enum : [])];
  const meant = nearest(
    found,
    words.filter((word) => typeof word === 'string'),
  );
  return meant === undefined ? '' : `: did you mean "${meant}"?`;
}

/** A JSON pointer's steps, with indices as numbers where the value has a list. */
function stepsOf(pointer: string, root: unknown): (string | number)[] {
  let value = root;
  return pointer
    .split('/')
    .slice(1)
    .map((step) => {
      const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
      const isIndex = Array.isArray(value);
      value = isIndex || isRecord(value) ? Reflect.get(Object(value), key) : undefined;
      return isIndex ? Number(key) : key;
    });
}

function isNumber(parsed: number | undefined): boolean {
  return Number.isFinite(parsed);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
