/** `plumbline.loss`: the event that says what was dropped, from whom and why; docs/output.md lists the causes. */
import type { Signal, Stream } from '../core/block.ts';
import { emitEvents } from '../processors/events.ts';
import type { Emission } from '../processors/processor.ts';

export type LossCause =
  | 'damaged'
  | 'poison'
  | 'max_age'
  | 'max_lag'
  | 'drop_oldest'
  | 'sink_removed'
  | 'dead_letter_retain'
  | 'too_large';

export interface Loss {
  cause: LossCause;
  /** The sink that will not get it; null when no sink will: the selection had not decided about it, or it never was in the journal. */
  sink: string | null;
  stream: Stream;
  signal: Signal;
  items: number;
}

const WORDS: Record<LossCause, string> = {
  damaged: 'in damaged records of the journal',
  poison: 'in a frame that no worker survives; its bytes are in quarantine/',
  max_age: 'older than journal.max_age',
  max_lag: 'beyond max_lag of the sink',
  drop_oldest: 'given up because the journal was full (journal.when_full: drop_oldest)',
  dead_letter_retain: 'in dead letters beyond dead_letter_retain of the sink',
  sink_removed: 'queued for a sink that is configured no longer',
  too_large: 'in one piece that fits no segment: lower max_groups of summarize, or raise journal.segment_size',
};

/** ERROR, as data is gone. */
const SEVERITY = 17;

export function lossEmission(loss: Loss, agent: string, nowMs: number): Emission {
  const { cause, sink, stream, signal, items } = loss;
  const event = {
    name: 'plumbline.loss',
    timeMs: nowMs,
    severity: SEVERITY,
    body: `${items} items of ${stream} ${signal}${sink === null ? '' : ` for sink ${sink}`} lost: ${WORDS[cause]}`,
    resource: { 'service.name': 'plumbline', 'service.instance.id': agent },
    attributes: {
      'loss.cause': cause,
      items: BigInt(items),
      'plumbline.stream': stream,
      'plumbline.signal': signal,
      'plumbline.agent': agent,
      ...(sink === null ? {} : { 'plumbline.sink': sink }),
    },
  };
  return emitEvents([event], nowMs);
}
