/** Builds what a worker runs, from its setup and the policy: views, editors, measurers, selectors, encoders. */
import { BlockPool } from '../core/block.ts';
import type { Encoder } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';
import type { Edits } from '../otlp/edit.ts';
import type { AttributeEdit } from '../otlp/editAttribute.ts';
import { JsonRequests } from '../otlp/jsonRequest.ts';
import { LogView } from '../otlp/logs.ts';
import { MetricView } from '../otlp/metrics.ts';
import { PointView } from '../otlp/points.ts';
import { Reader } from '../otlp/protobuf.ts';
import { Reslicer } from '../otlp/reslice.ts';
import { Envelope } from '../otlp/resource.ts';
import { SpanView } from '../otlp/traces.ts';
import type { Editor, Measurer, Selector, Views } from '../processors/processor.ts';
import { processors } from '../processors/registry.ts';
import { sinks } from '../sinks/registry.ts';
import { TaskOutput } from './output.ts';
import { type Policy, readPolicy } from './policy.ts';
import { Shortlister } from './shortlist.ts';
import type { WorkerSetup } from './tasks.ts';

export interface Parts {
  epoch: number;
  setup: WorkerSetup;
  views: Views;
  edits: Edits | null;
  measurers: { processor: number; measurer: Measurer }[];
  /** Of the stream `sampled`, and those that drop from `raw`. */
  selectors: Selector[];
  rawSelectors: Selector[];
  shortlister: Shortlister;
  encoders: Encoder[];
  reslicer: Reslicer;
  json: JsonRequests;
  output: TaskOutput;
  measureOutput: TaskOutput;
}

/** `owner` is this thread's number in the pool. */
export function createParts(setup: WorkerSetup, owner: number): Parts {
  const pool = new BlockPool(setup.pool, owner);
  const views: Views = {
    pool,
    reader: new Reader(pool.bytes),
    envelope: new Envelope(pool.bytes),
    span: new SpanView(),
    log: new LogView(),
    metric: new MetricView(),
    point: new PointView(),
    contracts: [],
    traces: setup.traces,
    droppers: [],
  };
  const reslicer = new Reslicer();
  const parts: Parts = {
    epoch: 0,
    setup,
    views,
    edits: null,
    measurers: [],
    selectors: [],
    rawSelectors: [],
    shortlister: new Shortlister(views, reslicer, [], 0),
    encoders: setup.sinks.map(({ type, config }) => definitionOf(sinks, type).encoder(config)),
    reslicer,
    json: new JsonRequests(setup.maxBodyBytes),
    output: new TaskOutput(pool),
    measureOutput: new TaskOutput(pool),
  };
  followPolicy(parts);
  return parts;
}

/** Rebuilds what depends on the policy when main has published another one. */
export function followPolicy(parts: Parts): void {
  const newest = readPolicy(parts.setup.policy, parts.epoch);
  if (newest === null) return;
  parts.epoch = newest.epoch;
  parts.views.contracts = newest.policy.contracts;
  parts.edits = combineEditors(newest.policy);
  parts.measurers = [];
  parts.selectors = [];
  parts.rawSelectors = [];
  parts.views.droppers = [];
  for (const { type, config, slot } of newest.policy.processors) {
    const definition = definitionOf(processors, type);
    const measurer = definition.measurer?.(config, parts.views);
    if (measurer !== undefined) parts.measurers.push({ processor: slot, measurer });
    const selector = definition.selector?.(config, parts.views);
    if (selector === undefined) continue;
    const streams = definition.streams?.(config) ?? ['sampled'];
    if (streams.includes('sampled')) {
      parts.selectors.push(selector);
      parts.views.droppers = parts.selectors.flatMap(({ dropper }) => dropper ?? []);
    }
    if (streams.includes('raw')) parts.rawSelectors.push(selector);
  }
  parts.shortlister = new Shortlister(parts.views, parts.reslicer, parts.selectors, parts.epoch);
}

function definitionOf<D extends { type: string }>(registry: readonly D[], type: string): D {
  const definition = registry.find((one) => one.type === type);
  if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no component of type ${type}`);
  return definition;
}

/** All editors as one: the first that does not keep an attribute decides, resources get what all of them add. */
function combineEditors(policy: Policy): Edits | null {
  const editors: Editor[] = policy.processors.flatMap(
    ({ type, config }) => definitionOf(processors, type).editor?.(config) ?? [],
  );
  if (editors.length === 0) return null;
  return {
    touchesItems: editors.some((editor) => editor.touchesItems),
    growth: editors.reduce((bytes, editor) => bytes + editor.growth, 0),
    attribute(bytes: Buffer, edit: AttributeEdit) {
      for (let i = 0; i < editors.length; i++) {
        const answer = editors[i]!.attribute(bytes, edit);
        if (answer !== 'keep') return answer;
      }
      return 'keep';
    },
    addToResource(bytes, at, end) {
      let added: Buffer | null = null;
      for (let i = 0; i < editors.length; i++) {
        const more = editors[i]!.addToResource(bytes, at, end, added);
        if (more !== null) added = added === null ? more : Buffer.concat([added, more]);
      }
      return added;
    },
  };
}
