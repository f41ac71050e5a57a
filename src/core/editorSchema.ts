/** A schema as editors want it: of what may be written in a file, before defaults are filled in and `${env:NAME}` is replaced. */
import { isRecord } from './schema.ts';

/** Where no text is asked for, or not any: the value is known at the start alone. */
const VARIABLE = { type: 'string', pattern: '\\$\\{env:', description: '${env:NAME} or ${env:NAME:-default}' };
const NO_TEXT = ['integer', 'number', 'boolean'];

/** `hasVariables`: a contract has none. */
export function forEditors(schema: object, hasVariables: boolean): object {
  return JSON.parse(JSON.stringify(schema), (_key, part: unknown) => {
    if (!isRecord(part) || !isRecord(part.properties)) return part;
    const { properties, required, ...rest } = part;
    const left = (Array.isArray(required) ? required : []).filter((key) => {
      const property = properties[key];
      return !isRecord(property) || !('default' in property);
    });
    const written = Object.entries(properties).map(([key, one]) => [key, hasVariables ? orVariable(key, one) : one]);
    return { ...rest, ...(left.length > 0 ? { required: left } : {}), properties: Object.fromEntries(written) };
  });
}

function orVariable(key: string, property: unknown): unknown {
  // A component's type is no variable.
  if (!isRecord(property) || 'const' in property) return property;
  const { default: byDefault, description, ...own } = property;
  const branches: unknown[] = Array.isArray(own.anyOf) ? own.anyOf : [own];
  const given = { ...('default' in property ? { default: byDefault } : {}), description };
  // The one list that may be a text with commas, which an environment has.
  if (key === 'brokers') return { anyOf: [own, { type: 'string' }], ...given };
  if (!branches.every(isScalar) || branches.some(isAnyText)) return property;
  return { anyOf: [...branches, VARIABLE], ...given };
}

function isScalar(schema: unknown): boolean {
  return isRecord(schema) && (schema.type === 'string' || NO_TEXT.includes(String(schema.type)));
}

function isAnyText(schema: unknown): boolean {
  return isRecord(schema) && schema.type === 'string' && !('const' in schema) && !('pattern' in schema);
}
