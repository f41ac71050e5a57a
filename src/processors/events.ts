/** Events of the agent as one emission. */
import type { EventRecord } from '../core/otel.ts';
import { serializeEvents } from '../otlp/writeEvents.ts';
import type { Emission } from './processor.ts';

/** `timeMs`: the moment they speak of. */
export function emitEvents(events: readonly EventRecord[], timeMs: number): Emission {
  const bytes = serializeEvents(events);
  return { stream: 'events', signal: 'logs', bytes, items: events.length, timeMs, ends: false };
}
