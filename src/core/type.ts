/**
 * Makes JSON Schemas that have the static types of typebox. Of typebox itself nothing is loaded: its modules cost each thread 25 MB and
 * 0.35 s (docs/adr/0009-schemas.md), and what is needed of them at run time is this.
 */
import type { Type as TypeBox } from 'typebox';

type Builder = Pick<
  typeof TypeBox,
  | 'Null'
  | 'String'
  | 'Number'
  | 'Integer'
  | 'Boolean'
  | 'Literal'
  | 'Array'
  | 'Object'
  | 'Record'
  | 'Union'
  | 'Optional'
  | 'Unsafe'
>;
type Schema = Record<string, unknown>;
/** Keywords beside the type: description, default, format, ... */
type Options = Schema | undefined;

/** Copies that may be left out of their object. */
const optional = new WeakSet<Schema>();

const made = {
  Null: (options: Options) => ({ type: 'null', ...options }),
  String: (options: Options) => ({ type: 'string', ...options }),
  Number: (options: Options) => ({ type: 'number', ...options }),
  Integer: (options: Options) => ({ type: 'integer', ...options }),
  Boolean: (options: Options) => ({ type: 'boolean', ...options }),
  Literal: (value: string | number | boolean, options: Options) => ({ type: typeof value, const: value, ...options }),
  Array: (items: Schema, options: Options) => ({ type: 'array', items, ...options }),
  Object(properties: Record<string, Schema>, options: Options) {
    const required = Object.keys(properties).filter((key) => !optional.has(properties[key] as Schema));
    return { type: 'object', ...(required.length === 0 ? {} : { required }), properties, ...options };
  },
  Record: (key: Schema, value: Schema, options: Options) => ({
    type: 'object',
    patternProperties: { [typeof key.pattern === 'string' ? key.pattern : '^.*$']: value },
    ...options,
  }),
  Union: (anyOf: readonly Schema[], options: Options) => ({ anyOf, ...options }),
  Optional(schema: Schema) {
    const copy = { ...schema };
    optional.add(copy);
    return copy;
  },
  Unsafe: (schema: Schema) => ({ ...schema }),
};

// The values are typebox's, without the hidden marks that only its own functions read; test/core/type.test.ts holds them together.
export const Type = made as unknown as Builder;
