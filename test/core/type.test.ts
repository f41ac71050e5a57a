/** The schemas made here are those that typebox makes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type as TypeBox } from 'typebox';
import { Type } from '../../src/core/type.ts';

/** Every function of the builder, with and without options, inside one another. */
function sample(type: typeof Type) {
  const name = type.String({ minLength: 1, description: 'a name' });
  const inner = type.Object(
    { name, share: type.Optional(type.Number({ default: 1 })) },
    { additionalProperties: false },
  );
  return type.Object({
    inner,
    name,
    later: type.Optional(name),
    all: type.Optional(type.Object({ on: type.Optional(type.Boolean()) })),
    none: type.Object({}),
    nothing: type.Null(),
    list: type.Array(inner, { maxItems: 3 }),
    kind: type.Union(
      [type.Literal('a'), type.Literal('b', { description: 'b' }), type.Literal(3), type.Literal(true)],
      {
        default: 'a',
      },
    ),
    headers: type.Record(type.String(), type.Integer({ minimum: 0 })),
    quotas: type.Record(type.String({ pattern: '^[a-z]+$' }), type.Boolean(), { default: {} }),
    free: type.Unsafe<string>({ type: 'string', enum: ['x', 'y'] }),
  });
}

test('the same schema as by typebox', () => {
  const plain = (schema: unknown): unknown => JSON.parse(JSON.stringify(schema));
  assert.deepEqual(plain(sample(Type)), plain(sample(TypeBox)));
});

test('optional is where it is said, not the schema itself', () => {
  const name = Type.String();
  const { required } = Type.Object({ a: name, b: Type.Optional(name) }) as unknown as { required: string[] };
  assert.deepEqual(required, ['a']);
});
