// HOT: once per resource, when configured. Bench: bench/micro/otlp/edit.bench.ts
/** `enrich`: adds resource attributes that are not there yet; never overwrites what the service said. */
import { type Static, Type } from 'typebox';
import { Reader, readEnd, readTag, sameBytes, skipField } from '../../otlp/protobuf.ts';
import { messageType } from '../../otlp/schema.ts';
import type { Editor, ProcessorDefinition } from '../processor.ts';

const config = Type.Object(
  {
    resource: Type.Record(Type.String(), Type.String(), {
      description: 'Attributes and their values; an empty value adds nothing, so that `${env:NAME:-}` is optional',
    }),
  },
  { additionalProperties: false },
);

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
  const resourceType = messageType('Resource');
  const added: Added[] = Object.entries(resource)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => {
      const field = resourceType
        .encode(resourceType.fromObject({ attributes: [{ key, value: { stringValue: value } }] }))
        .finish();
      return { key: Buffer.from(key), field: Buffer.from(field) };
    });
  const everything = Buffer.concat(added.map(({ field }) => field));
  const reader = new Reader(Buffer.alloc(0));
  return {
    touchesItems: false,
    growth: added.reduce((bytes, { field }) => bytes + field.length, 8),
    attribute: () => 'keep',
    addToResource(bytes, at, end) {
      let present = 0;
      for (let i = 0; i < added.length; i++) if (hasAttribute(reader, bytes, at, end, added[i]!.key)) present++;
      // A resource mostly has none of them, or all.
      if (present === 0) return added.length === 0 ? null : everything;
      if (present === added.length) return null;
      return Buffer.concat(
        added.filter(({ key }) => !hasAttribute(reader, bytes, at, end, key)).map(({ field }) => field),
      );
    },
  };
}

/** Whether the Resource content between `at` and `end` has the key. */
function hasAttribute(reader: Reader, bytes: Buffer, at: number, end: number, key: Buffer): boolean {
  reader.bytes = bytes;
  reader.pos = at;
  while (reader.pos < end) {
    const tag = readTag(reader, end);
    if (tag !== 10) {
      skipField(reader, tag, end);
      continue;
    }
    const stop = readEnd(reader, end);
    while (reader.pos < stop) {
      const inner = readTag(reader, stop);
      if (inner !== 10) {
        skipField(reader, inner, stop);
        continue;
      }
      const keyEnd = readEnd(reader, stop);
      if (keyEnd - reader.pos === key.length && sameBytes(bytes, reader.pos, key, 0, key.length)) return true;
      reader.pos = keyEnd;
    }
  }
  return false;
}
