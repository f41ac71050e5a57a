/** The console sink: contract states and events as lines for people, on stdout. */

import type { SinkDefinition } from '../../core/component.ts';
import { Type } from '../../core/type.ts';
import { createEncoder } from './encode.ts';

export const console: SinkDefinition = {
  type: 'console',
  summary: 'Prints events as lines for people.',
  config: Type.Object({
    subscribe: Type.Array(Type.Literal('events'), {
      default: ['events'],
      minItems: 1,
      maxItems: 1,
      description: 'Streams this sink takes: events alone read well as lines.',
    }),
  }),
  subscribe: 'list',
  concurrency: 1,
  batchBytes: 64 << 10,
  encoder: () => createEncoder(),
  open: async (_config, context) => {
    const { createConsoleWriter } = await import('./writer.ts');
    return createConsoleWriter(process.stdout, context);
  },
};
