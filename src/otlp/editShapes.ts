/** Where attributes stand in the messages of OTLP: what edit.ts walks, field by field. */
import type { Signal } from '../core/block.ts';

/** A message that holds attributes, or messages that do: what to do by tag. */
export interface Shape {
  /** 0 is none. */
  readonly attributes: number;
  readonly children: ReadonlyMap<number, Shape>;
  readonly isResource: boolean;
  /** It holds a resource, which may be missing. */
  readonly holdsResource: boolean;
  /** It is a resource or holds one: edits of resources alone enter nothing else. */
  readonly leadsToResource: boolean;
  /** An AnyValue, of which most hold no map. */
  readonly isValue: boolean;
}

export const tag = (field: number) => (field << 3) | 2;
function shape(attributes: number, children: Record<number, Shape> = {}, isResource = false): Shape {
  const entries = Object.entries(children).map(([field, child]) => [tag(Number(field)), child] as const);
  const leadsToResource = isResource || entries.some(([, child]) => child.leadsToResource);
  const holdsResource = entries.some(([, child]) => child.isResource);
  return {
    attributes: attributes === 0 ? 0 : tag(attributes),
    children: new Map(entries),
    isResource,
    holdsResource,
    leadsToResource,
    isValue: false,
  };
}

/** Filled below: values hold values. */
const inValue = new Map<number, Shape>();
const VALUE: Shape = { ...shape(0), children: inValue, isValue: true };
inValue.set(tag(5), shape(0, { 1: VALUE })).set(tag(6), shape(1));
/** Of an attribute that stays, for the maps in its value. */
export const KEY_VALUE = shape(0, { 2: VALUE });

const RESOURCE = shape(1, {}, true);
/** A resource that stands twice is one, and gets what is added once. */
export const RESOURCE_AGAIN = shape(1);
const SCOPE = shape(3);
const EXEMPLAR = shape(7);
const NUMBER_POINTS = shape(0, { 1: shape(7, { 5: EXEMPLAR }) });
const ITEMS: Record<Signal, Shape> = {
  traces: shape(9, { 11: shape(3), 13: shape(4) }),
  logs: shape(6, { 5: VALUE }),
  metrics: shape(12, {
    5: NUMBER_POINTS,
    7: NUMBER_POINTS,
    9: shape(0, { 1: shape(9, { 8: EXEMPLAR }) }),
    10: shape(0, { 1: shape(1, { 11: EXEMPLAR }) }),
    11: shape(0, { 1: shape(7) }),
  }),
};
const request = (signal: Signal) =>
  shape(0, { 1: shape(0, { 1: RESOURCE, 2: shape(0, { 1: SCOPE, 2: ITEMS[signal] }) }) });
export const REQUESTS: Record<Signal, Shape> = {
  traces: request('traces'),
  metrics: request('metrics'),
  logs: request('logs'),
};
