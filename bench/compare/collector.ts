/** The OpenTelemetry Collector set up for the job of level F4: everything to a file, 10 % of the traces and span metrics to Kafka. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CollectorOptions {
  directory: string;
  kafka: string;
  port: number;
}

/** Writes its configuration (JSON is YAML) and returns the path. Acks and compression are those of our own level. */
export function writeCollectorConfig({ directory, kafka, port }: CollectorOptions): string {
  mkdirSync(directory, { recursive: true });
  const toKafka = (topic: string, signal: 'traces' | 'metrics') => ({
    brokers: [kafka],
    protocol_version: '2.1.0',
    [signal]: { topic, encoding: 'otlp_proto' },
    producer: { required_acks: -1, compression: 'zstd', max_message_bytes: 1_000_000 },
  });
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}`, max_request_body_size: 20 << 20 } } } },
    processors: {
      probabilistic_sampler: { sampling_percentage: 10 },
      batch: { send_batch_size: 1024, timeout: '200ms' },
    },
    connectors: {
      spanmetrics: { metrics_flush_interval: '10s', histogram: { exponential: { max_size: 160 } } },
      forward: {},
    },
    exporters: {
      file: { path: join(directory, 'archive.binpb'), format: 'proto' },
      'kafka/traces': toKafka('otlp_spans', 'traces'),
      'kafka/metrics': toKafka('otlp_metrics', 'metrics'),
    },
    service: {
      telemetry: { logs: { level: 'error' }, metrics: { level: 'none' } },
      pipelines: {
        'traces/raw': { receivers: ['otlp'], exporters: ['file', 'spanmetrics', 'forward'] },
        'traces/sampled': {
          receivers: ['forward'],
          processors: ['probabilistic_sampler', 'batch'],
          exporters: ['kafka/traces'],
        },
        'metrics/spans': { receivers: ['spanmetrics'], exporters: ['kafka/metrics'] },
      },
    },
  };
  const file = join(directory, 'collector.yaml');
  writeFileSync(file, JSON.stringify(config, null, 2));
  return file;
}
