// HOT: once per resource, when configured. Bench: bench/micro/otlp/edit.bench.ts
/** `enrich`: adds resource attributes that are not there yet; never overwrites what the service said. */
import type { Static } from 'typebox';
import { Type } from '../../core/type.ts';
import { AttributeTable, readAttributes } from '../../otlp/attributes.ts';
import { encodePlain } from '../../otlp/json.ts';
import { Reader } from '../../otlp/protobuf.ts';
import type { Editor, ProcessorDefinition } from '../processor.ts';

const config = Type.Object(
  {
    resource: Type.Record(Type.String(), Type.String(), {
      description: 'Attributes and their values; an empty value adds nothing, so that `${env:NAME:-}` is optional',
    }),
  },
  { additionalProperties: false },
);

const RESOURCE_ATTRIBUTES = 10;

interface Added {
  key: Buffer;
  /** The whole KeyValue field with its tag. */
  field: Buffer;
}

export const enrich: ProcessorDefinition = {
  type: 'enrich',
  summary: 'Adds resource attributes, for example the node a pod runs on.',
  kind: 'editor',
  config,
  editor: (given) => createEditor((given as Static<typeof config>).resource),
};

function createEditor(resource: Record<string, string>): Editor {
  const added: Added[] = Object.entries(resource)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => ({
      key: Buffer.from(key),
      field: encodePlain('Resource', { attributes: [{ key, value: { stringValue: value } }] }),
    }));
  const everything = Buffer.concat(added.map(({ field }) => field));
  let reader = new Reader(Buffer.alloc(0));
  const present = new AttributeTable();
  const earlier = new AttributeTable();
  return {
    touchesItems: false,
    growth: added.reduce((bytes, { field }) => bytes + field.length, 8),
    attribute: () => 'keep',
    addToResource(bytes, at, end, others) {
      if (reader.bytes !== bytes) reader = new Reader(bytes);
      present.count = 0;
      readAttributes(reader, at, end, RESOURCE_ATTRIBUTES, present);
      earlier.clear();
      if (others !== null) readAttributes(new Reader(others), 0, others.length, RESOURCE_ATTRIBUTES, earlier);
      const has = (key: Buffer) => present.find(bytes, key) >= 0 || (others !== null && earlier.find(others, key) >= 0);
      let found = 0;
      for (let i = 0; i < added.length; i++) if (has(added[i]!.key)) found++;
      // A resource mostly has none of them, or all.
      if (found === 0) return added.length === 0 ? null : everything;
      if (found === added.length) return null;
      return Buffer.concat(added.filter(({ key }) => !has(key)).map(({ field }) => field));
    },
  };
}
