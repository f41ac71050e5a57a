// HOT: once per attribute, when configured. Bench: bench/micro/otlp/edit.bench.ts
/** `redact`: masks, hashes or removes attributes by key, wherever they stand, before anything is written or measured. */
import { createHash } from 'node:crypto';
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';
import { emptyValue, readValue } from '../../otlp/attributes.ts';
import type { AttributeEdit } from '../../otlp/editAttribute.ts';
import { Reader, sameBytes } from '../../otlp/protobuf.ts';
import type { Editor, ProcessorDefinition } from '../processor.ts';

const config = Type.Object(
  {
    attributes: Type.Array(
      Type.Object(
        {
          match: Type.String({
            minLength: 1,
            pattern: '^[^*]*\\*?$',
            patternErrorMessage: 'must be an attribute key, in which a * can only stand at the end, for any rest',
            description: 'Attribute key; a * at the end stands for any rest',
          }),
          action: Type.Union([Type.Literal('mask'), Type.Literal('hash'), Type.Literal('remove')], {
            description:
              'mask: "****"; hash: the first 16 hex digits of the SHA-256 of its text; remove: the attribute goes',
          }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, description: 'The first that matches decides' },
    ),
  },
  { additionalProperties: false },
);

interface Rule {
  key: Buffer;
  prefix: boolean;
  /** Of so many maps it can name the keys: a dot is behind each. */
  maps: number;
  action: 'mask' | 'hash' | 'remove';
}

export const redact: ProcessorDefinition = {
  type: 'redact',
  summary: 'Masks, hashes or removes attributes by key.',
  kind: 'editor',
  config,
  editor: (given) => createEditor((given as Static<typeof config>).attributes),
};

const MASK = stringValue('****');

/** An AnyValue with a short string. */
function stringValue(text: string): Buffer {
  return Buffer.concat([Buffer.from([10, text.length]), Buffer.from(text)]);
}

function createEditor(attributes: Static<typeof config>['attributes']): Editor {
  const rules: Rule[] = attributes.map(({ match, action }) => {
    const prefix = match.endsWith('*');
    const key = prefix ? match.slice(0, -1) : match;
    return { key: Buffer.from(key), prefix, maps: key.split('.').length - 1, action };
  });
  return {
    touchesItems: true,
    // A hash is 18 bytes of AnyValue; lengths around it may take two bytes more.
    growth: 24,
    attribute(bytes, edit) {
      for (let i = 0; i < rules.length; i++) {
        const rule = rules[i]!;
        if (!matches(rule, bytes, edit)) continue;
        if (rule.action === 'remove') return 'remove';
        edit.replacement = rule.action === 'mask' ? MASK : hashValue(bytes, edit);
        return 'replace';
      }
      return 'keep';
    },
    addToResource: () => null,
  };
}

/** By its own key, or by that behind the keys of as many of the maps around it as the rule names. */
function matches(rule: Rule, bytes: Buffer, edit: AttributeEdit): boolean {
  if (isMeant(rule, bytes, edit.keyAt, edit.keyLength)) return true;
  for (let i = edit.depth - 1; i >= 0 && i >= edit.depth - rule.maps; i--) {
    const from = edit.starts[i]!;
    if (isMeant(rule, edit.path, from, edit.pathLength - from)) return true;
  }
  return false;
}

function isMeant({ key, prefix }: Rule, bytes: Buffer, at: number, length: number): boolean {
  if (prefix ? length < key.length : length !== key.length) return false;
  return sameBytes(bytes, at, key, 0, key.length);
}

/** Of a text's bytes, so that anyone can make it from the text; of the encoded AnyValue where the value is none. */
function hashValue(bytes: Buffer, { valueAt, valueEnd }: AttributeEdit): Buffer {
  const value = emptyValue();
  readValue(new Reader(bytes), valueAt, valueEnd, value);
  const [from, to] = value.kind === 'string' ? [value.at, value.end] : [valueAt, valueEnd];
  // A copy: node:crypto takes no views over shared memory.
  const content = Buffer.from(Uint8Array.prototype.slice.call(bytes, from, to));
  return stringValue(createHash('sha256').update(content).digest('hex').slice(0, 16));
}
