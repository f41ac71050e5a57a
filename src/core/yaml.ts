/** YAML text to a plain value that still knows its lines: `${env:...}`, overrides, bounds on size and aliases. Knows no schema. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parse,
  parseDocument,
  Scalar,
  visit,
  type YAMLError,
  type YAMLSeq,
} from 'yaml';
import { messageOf } from './errors.ts';

const MOST_BYTES = 1 << 20;
const MOST_ALIASES = 100;
/** `$${env:NAME}` is the text itself; `${env:NAME}` and `${env:NAME:-default}` are replaced, as in the Collector. */
const VARIABLE = /\$(\$?)\{([^}]*)(\}|$)/g;
const ENV = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{).)*))?$/s;

export type Path = readonly (string | number)[];

export interface YamlSource {
  text: string;
  /** As it should stand in messages. */
  file: string;
  /** Null: variables have no place in this file, and are faults. */
  env: Readonly<Record<string, string | undefined>> | null;
  /** `a.b=c`, applied in order before variables are replaced. */
  set?: readonly string[] | undefined;
}

export interface YamlValue {
  value: unknown;
  /** `FILE:LINE:COLUMN: message`, in the order they were found; never holds a value from the environment. */
  faults: string[];
  /** False when the text could not be read as YAML at all: then `value` says nothing. */
  readable: boolean;
  /** `FILE:LINE:COLUMN` of a key or a value, of its nearest ancestor where the path leads nowhere; `--set a.b` where that gave it. */
  where(path: Path, part: 'key' | 'value'): string;
  /** The text with its `${env:...}` when a scalar had one. */
  written(path: Path): string | undefined;
  /** True when a variable in it is unset: then faults of its text would only repeat that one. */
  isUnset(path: Path): boolean;
}

/** Reads one YAML document; never throws for what is in it. */
export function readYaml(source: YamlSource): YamlValue {
  const reading = new Reading(source);
  const bytes = Buffer.byteLength(source.text);
  if (bytes > MOST_BYTES) reading.fault(0, `the file has ${bytes} bytes, at most ${MOST_BYTES} are read`);
  else reading.read();
  return {
    value: reading.value,
    faults: reading.faults,
    readable: reading.readable,
    where: (path, part) => reading.where(path, part),
    written: (path) => reading.written.get(reading.nodeAt(path).value as Node),
    isUnset: (path) => reading.unset.has(reading.nodeAt(path).value as Node),
  };
}

/** What a scalar's text would be without quotes around it: a number, a boolean, or the text again. */
export function plainScalar(text: string): unknown {
  try {
    const value: unknown = parse(text);
    return typeof value === 'number' || typeof value === 'boolean' ? value : text;
  } catch {
    // No YAML of its own, so it is a text: the caller's check answers.
    return text;
  }
}

/** One pass over one text; a class because the passes share positions. */
class Reading {
  readonly faults: string[] = [];
  readonly written = new Map<Node, string>();
  readonly unset = new Set<Node>();
  value: unknown;
  readable = false;
  readonly #source: YamlSource;
  readonly #lines = new LineCounter();
  readonly #overrides = new Map<Node, string>();
  #document: Document | undefined;

  constructor(source: YamlSource) {
    this.#source = source;
  }

  read(): void {
    try {
      const document = parseDocument(this.#source.text, { lineCounter: this.#lines, prettyErrors: false });
      for (const error of [...document.errors, ...document.warnings]) this.#refuse(error);
      if (this.faults.length > 0) return;
      this.#document = document;
      for (const override of this.#source.set ?? []) this.#override(document, override);
      let faulty = 0;
      visit(document, {
        Scalar: (key, node) => (key === 'key' ? undefined : this.#interpolate(node)),
        Alias: (_, node, path) => {
          const anchored = node.resolve(document);
          if (anchored !== undefined && !path.includes(anchored)) return;
          faulty++;
          const what = anchored === undefined ? 'with no anchor before it' : 'of what it stands in, which has no end';
          this.fault(node.range?.[0] ?? 0, `an alias ${what}`);
        },
      });
      if (faulty > 0) return;
      this.value = document.toJS({ maxAliasCount: MOST_ALIASES });
      this.readable = true;
    } catch (error) {
      // Parser and toJS throw only for what is bounded: depth (RangeError) and aliases (ReferenceError).
      this.fault(0, error instanceof RangeError ? 'nested too deeply' : withoutQuote(messageOf(error)));
    }
  }

  fault(offset: number, message: string): void {
    this.faults.push(`${this.#place(offset)}: ${message}`);
  }

  where(path: Path, part: 'key' | 'value'): string {
    const { key, value } = this.nodeAt(path);
    const node = part === 'key' ? (key ?? value) : value;
    const override = this.#overrides.get(value) ?? this.#overrides.get(node);
    return override === undefined ? this.#place(node.range?.[0] ?? 0) : `--set ${override}`;
  }

  /** Key and value nodes at a path, or those of the last step that exists. */
  nodeAt(path: Path): { key: Node | undefined; value: Node } {
    let value: Node = this.#document?.contents ?? new Scalar(null);
    let key: Node | undefined;
    for (const step of path) {
      const parent = isAlias(value) && this.#document !== undefined ? value.resolve(this.#document) : value;
      if (isSeq(parent)) {
        const item = parent.items[Number(step)];
        if (!isNode(item)) break;
        [key, value] = [undefined, item];
      } else if (isMap(parent)) {
        const pair = parent.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step));
        if (pair === undefined) break;
        key = isNode(pair.key) ? pair.key : undefined;
        value = isNode(pair.value) ? pair.value : (key ?? value);
      } else break;
    }
    return { key, value };
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#source.file}:${Math.max(1, line)}:${Math.max(1, col)}`;
  }

  #refuse(error: YAMLError): void {
    const offset = error.pos[0];
    if (error.code === 'DUPLICATE_KEY') {
      const key = /^["']?([\w.-]+)/.exec(this.#source.text.slice(offset))?.[1] ?? '';
      this.fault(offset, `duplicate key "${key}": keep one of them`);
      return;
    }
    const isSecond = error.code === 'MULTIPLE_DOCS';
    const what = isSecond ? 'a second document: give it a file of its own' : `not YAML: ${withoutQuote(error.message)}`;
    this.fault(offset, what);
  }

  #override(document: Document, override: string): void {
    const equals = override.indexOf('=');
    const name = override.slice(0, Math.max(0, equals));
    try {
      if (name.split('.').includes('')) throw new Error('expects a.b=c');
      const node = document.createNode(given(override.slice(equals + 1)));
      document.setIn(this.#resolve(document, name), node);
      visit(node, (_, inner) => {
        if (isNode(inner)) this.#overrides.set(inner, name);
      });
      this.#overrides.set(node, name);
    } catch (error) {
      this.faults.push(`--set ${name || override}: ${withoutQuote(messageOf(error))}`);
    }
  }

  /** Steps of `a.b`; a step into a list is an index, or the `name` or `type` of an item: `sinks.kafka.topic`. */
  #resolve(document: Document, name: string): (string | number)[] {
    const path: (string | number)[] = [];
    for (const step of name.split('.')) {
      const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
      path.push(isSeq(parent) ? indexOf(parent, step, path.join('.')) : step);
    }
    return path;
  }

  #interpolate(node: Scalar): void {
    const text = node.value;
    if (typeof text !== 'string' || !text.includes('${')) return;
    const replaced = text.replace(VARIABLE, (whole: string, escaped: string, inside: string, end: string) => {
      if (escaped !== '') return whole.slice(1);
      return this.#variable(node, end === '' ? whole : inside);
    });
    this.written.set(node, text);
    node.value = replaced;
  }

  #variable(node: Scalar, inside: string): string {
    const { env } = this.#source;
    const match = env === null ? null : ENV.exec(inside);
    const value = match === null ? undefined : (env?.[match[1] as string] ?? match[2]);
    if (value !== undefined) return value;
    const place = this.#overrides.get(node);
    const where = place === undefined ? this.#place(node.range?.[0] ?? 0) : `--set ${place}`;
    this.unset.add(node);
    const known = env === null ? 'the value itself' : '${env:NAME} or ${env:NAME:-default}';
    this.faults.push(
      match === null
        ? `${where}: a "\${...}" that is no variable${env === null ? ' here' : ''}: write ${known}, or $\${ for the text itself`
        : `${where}: the environment variable ${match[1]} is not set: set it, or give a default: \${env:${match[1]}:-default}`,
    );
    return '';
  }
}

/** What is no YAML by itself, such as `[::1]:4318`, is the text that it is. */
function given(text: string): unknown {
  try {
    return parse(text) ?? '';
  } catch {
    // The schema answers when a text will not do.
    return text;
  }
}

/** Index of the item of that name or number; the one behind the last is new. */
function indexOf({ items }: YAMLSeq, step: string, list: string): number {
  const names = items.map((item, index) => (isMap(item) ? (item.get('name') ?? item.get('type')) : index));
  const index = names.indexOf(step);
  if (index >= 0) return index;
  if (/^\d+$/.test(step) && Number(step) <= items.length) return Number(step);
  throw new Error(`${list} has no item "${step}", known are ${names.map((name, at) => name ?? at).join(', ')}`);
}

/** What follows a colon quotes the file, which may be a secret. */
function withoutQuote(message: string): string {
  return message.replace(/: .*$/s, '');
}
