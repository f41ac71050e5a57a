/** The otlp sink: export requests over HTTP to another agent, a Collector or a backend. */
import type { SinkDefinition } from '../../core/component.ts';
import { keyPairFault } from '../keyPair.ts';
import { Config, headerFault, type OtlpConfig } from './config.ts';
import { createEncoder } from './encode.ts';

export const otlp: SinkDefinition = {
  type: 'otlp',
  summary: 'Sends export requests over HTTP.',
  config: Config,
  subscribe: 'list',
  concurrency: 4,
  batchBytes: 1 << 20,
  fault: (config) => headerFault((config as OtlpConfig).headers) ?? keyPairFault((config as OtlpConfig).tls),
  // src/config.ts has validated both against Config and the keys of every sink.
  encoder: (config) => createEncoder(config as OtlpConfig),
  open: async (config, context) => {
    const { createOtlpWriter } = await import('./writer.ts');
    return createOtlpWriter(config as OtlpConfig, context);
  },
};
