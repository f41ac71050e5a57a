/** Every sink there is, one line each. */
import type { SinkDefinition } from '../core/component.ts';
import { console } from './console/index.ts';
import { kafka } from './kafka/index.ts';
import { otlp } from './otlp/index.ts';
import { storage } from './storage/index.ts';

export const sinks: readonly SinkDefinition[] = [
  console, //
  kafka,
  otlp,
  storage,
];
