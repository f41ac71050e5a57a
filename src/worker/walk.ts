// HOT: once per item. Bench: bench/micro/worker/walk.bench.ts
/** Walks the items of a frame: validates each and shows it to every measurer; invalid ones are counted, for cut.ts. */
import { Field, Flag, FRAME_HEADER_BYTES, payloadLength, type Signal } from '../core/block.ts';
import { AgentError } from '../core/errors.ts';
import { isLookBack, isMarked } from '../otlp/kept.ts';
import { readLogRecord } from '../otlp/logs.ts';
import { nextPoint, readMetric } from '../otlp/metrics.ts';
import { type Envelope, type ItemVisitor, walkItems } from '../otlp/resource.ts';
import { readSpan } from '../otlp/traces.ts';
import type { Measurer } from '../processors/processor.ts';
import { signalOf } from './body.ts';
import type { Parts } from './parts.ts';

/** A request that begins with so many bad items, and no good one, is refused as a whole: nobody waits until all of them are counted. */
const MOST_BAD_FIRST = 65_536;

/** No limit of an item. A small integer: whoever compares with it in a loop does not convert to a double. */
export const UNLIMITED_BYTES = 0x7fff_ffff;

/** One per worker; what it counts is about the last frame walked. */
export class ItemWalk {
  /** An item of more bytes is invalid. */
  mostItemBytes = UNLIMITED_BYTES;
  /** Valid and invalid items of the frame. */
  items = 0;
  invalid = 0;
  /** In sound points; they are cut out. */
  badExemplars = 0;
  /** Log records with a bad id, which are kept as they are. */
  untraced = 0;
  services = 0;
  hasTraceState = false;
  /** A refused frame was measured in part. */
  tainted = false;
  serviceHash = 0;
}

/** Walks the frame at `at` and returns `at`. Throws BODY_UNDECODABLE. `behindItems`: as walkItems has it. */
export function walkFrame(parts: Parts, walk: ItemWalk, at: number, behindItems = false): number {
  const { pool, reader, envelope } = parts.views;
  walk.items = 0;
  walk.invalid = 0;
  walk.badExemplars = 0;
  walk.untraced = 0;
  walk.services = 0;
  walk.hasTraceState = false;
  const from = at + FRAME_HEADER_BYTES;
  const visitor = visitorOf(parts, walk, signalOf(parts, at));
  walkItems(reader, from, from + payloadLength(pool, at), envelope, visitor, behindItems);
  if (walk.hasTraceState) pool.bytes[at + Field.flags] = pool.bytes[at + Field.flags]! | Flag.traceState;
  return at;
}

const visitors = new WeakMap<Parts, { epoch: number; bySignal: Record<Signal, ItemVisitor> }>();

/** Visitors close over the measurers, so they are made anew with them. */
function visitorOf(parts: Parts, walk: ItemWalk, signal: Signal): ItemVisitor {
  let made = visitors.get(parts);
  if (made === undefined || made.epoch !== parts.epoch) {
    made = { epoch: parts.epoch, bySignal: createVisitors(parts, walk) };
    visitors.set(parts, made);
  }
  return made.bySignal[signal];
}

function createVisitors(parts: Parts, walk: ItemWalk): Record<Signal, ItemVisitor> {
  const { span, log, metric, point } = parts.views;
  const all: Measurer[] = parts.measurers.map(({ measurer }) => measurer);
  const ofSpans = all.filter((measurer) => measurer.span !== undefined);
  const ofLogs = all.filter((measurer) => measurer.log !== undefined);
  const ofMetrics = all.filter((measurer) => measurer.metric !== undefined);
  const ofPoints = all.filter((measurer) => measurer.point !== undefined);
  const ofResources = all.filter((measurer) => measurer.enterResource !== undefined);

  function enterResource(envelope: Envelope): void {
    if (walk.services === 0 || envelope.serviceHash !== walk.serviceHash) walk.services++;
    walk.serviceHash = envelope.serviceHash;
    for (let i = 0; i < ofResources.length; i++) ofResources[i]!.enterResource!(envelope);
  }

  return {
    traces: {
      enterResource,
      item(reader, at, end, envelope) {
        readSpan(reader, at, end, span);
        if (!span.isSound(walk.mostItemBytes)) {
          countInvalid(walk);
          return;
        }
        walk.items++;
        const isKept = isMarked(reader, span.attributes);
        span.isAdded = isKept && isLookBack(reader.bytes, span.attributes);
        if (isKept || span.traceStateTagAt >= 0) walk.hasTraceState = true;
        for (let i = 0; i < ofSpans.length; i++) ofSpans[i]!.span!(span, envelope);
      },
    },
    logs: {
      enterResource,
      item(reader, at, end, envelope) {
        readLogRecord(reader, at, end, log);
        if (!log.isSound(walk.mostItemBytes)) {
          countInvalid(walk);
          return;
        }
        walk.items++;
        log.isAdded = isMarked(reader, log.attributes) && isLookBack(reader.bytes, log.attributes);
        if (log.hasBadId) walk.untraced++;
        for (let i = 0; i < ofLogs.length; i++) ofLogs[i]!.log!(log, envelope);
      },
    },
    metrics: {
      enterResource,
      item(reader, at, end, envelope) {
        readMetric(reader, at, end, metric);
        for (let i = 0; i < ofMetrics.length; i++) ofMetrics[i]!.metric!(metric, envelope);
        while (nextPoint(reader, metric, point)) {
          if (!point.isSound(walk.mostItemBytes)) {
            countInvalid(walk);
            continue;
          }
          walk.items++;
          walk.badExemplars += point.badExemplars;
          for (let i = 0; i < ofPoints.length; i++) ofPoints[i]!.point!(point, metric, envelope);
        }
      },
    },
  };
}

function countInvalid(walk: ItemWalk): void {
  walk.invalid++;
  if (walk.invalid > MOST_BAD_FIRST && walk.items === 0)
    throw new AgentError('BODY_UNDECODABLE', `its first ${walk.invalid} items are bad, and no good one is among them`);
}
