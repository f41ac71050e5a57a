/** Conditions on a span that has been read: one that holds, one that fails, a pattern, a comparison. */
import type { ConditionMap } from '../../../src/contracts/contract.ts';
import { createItems } from '../../../src/contracts/items.ts';
import { compileConditions, matchesAll } from '../../../src/contracts/match.ts';
import { readSpan } from '../../../src/otlp/traces.ts';
import { itemsOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld } from '../world.ts';

const TIMES = 1000;

export function benches(): Bench[] {
  const world = createWorld({ processors: [] });
  const { reader, span, log, envelope } = world.parts.views;
  const places = itemsOf(world);
  readSpan(reader, places[0]!, places[1]!, span);
  const { spanItem } = createItems(span, log, reader);
  const matching = (name: string, map: ConditionMap): Bench => {
    const conditions = compileConditions(map);
    return {
      name: `contracts/match: ${name}`,
      unit: 'match',
      items: TIMES,
      mostHeapBytes: 8,
      run() {
        for (let i = 0; i < TIMES; i++) matchesAll(conditions, spanItem, envelope, reader);
      },
    };
  };
  return [
    matching('span.kind', { 'span.kind': 'server' }),
    matching('a string attribute', { 'url.scheme': 'https' }),
    matching('any of a list', { 'http.request.method': ['PUT', 'POST', 'GET'] }),
    matching('like', { 'http.route': { like: '/api/*/op-*' } }),
    matching('gte', { 'http.response.status_code': { gte: 500 } }),
    matching('resource attribute', { 'resource.service.namespace': 'shop' }),
    matching('one that is nowhere', { 'messaging.system': 'kafka' }),
  ];
}
