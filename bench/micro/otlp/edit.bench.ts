/** Editors: the survey alone (nothing to change), one attribute masked, a resource enriched. */
import { editRequest, surveyRequest } from '../../../src/otlp/edit.ts';
import { payloadOf } from '../frames.ts';
import type { Bench } from '../harness.ts';
import { createWorld, PROCESSORS } from '../world.ts';

export function benches(): Bench[] {
  const { redact, enrich } = PROCESSORS;
  const idle = { type: 'redact', config: { attributes: [{ match: 'http.request.header.*', action: 'mask' }] } };
  return [
    ...editing('redact, nothing matches', idle, false),
    ...editing('redact, one of 14 masked', redact, true),
    ...editing('enrich, one more by resource', enrich, true),
  ];
}

function editing(name: string, processor: { type: string; config: unknown }, writes: boolean): Bench[] {
  const world = createWorld({ processors: [processor] });
  const { parts, pool, frames } = world;
  const { edits } = parts;
  if (edits === null) throw new Error(`${processor.type} is no editor`);
  const to = world.scratch(4 << 20);
  const each = (work: (from: number, end: number) => void) => () => {
    for (let i = 0; i < frames.length; i++) work(...payloadOf(world, i));
  };
  const { reader } = parts.views;
  const survey = each((from, end) => surveyRequest(reader, pool.bytes, 'traces', from, end, edits));
  const write = each((from, end) => editRequest(reader, pool.bytes, 'traces', from, end, to, edits));
  const benches = [{ name: `otlp/edit: survey for ${name}`, unit: 'span', items: world.items, run: survey }];
  return writes ? [...benches, { name: `otlp/edit: ${name}`, unit: 'span', items: world.items, run: write }] : benches;
}
