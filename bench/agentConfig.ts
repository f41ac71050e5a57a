/** The agent's configuration for a level of work: contracts over the workload's attributes, and the sinks the level has. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Three contracts of three signals each: errors, latency, one slow route; service-00 to service-02 of shapes.ts. */
export const CONTRACT_FILES: readonly string[] = ['service-00', 'service-01', 'service-02'].map((name) =>
  fileURLToPath(new URL(`contracts/${name}.yaml`, import.meta.url)),
);

/**
 * F1 forwards everything to Kafka and does nothing else; F2 judges, counts and decides, and keeps everything; F3 keeps a tenth and archives
 * nothing, F4 archives everything as it is, F4z compressed with zstd; F4n is F4 with all requests read by node:http.
 */
export type AgentLevel = 'F1' | 'F2' | 'F3' | 'F4' | 'F4z' | 'F4n';
export const ARCHIVED: readonly string[] = ['F4', 'F4z', 'F4n'] satisfies AgentLevel[];

const FORWARDED = { raw: 'otlp_{signal}' };
const TOPICS = { sampled: 'otlp_{signal}', summaries: 'plumbline_summaries', events: 'plumbline_events' };

export interface AgentConfigOptions {
  level: AgentLevel;
  /** Where journal, archive and the file itself go. */
  directory: string;
  kafka: string;
  workers: 'auto' | number;
  /** Of the archive: a size, or none. */
  retain: string;
}

/** Writes agent.yaml (JSON is YAML) and returns its path. */
export function writeAgentConfig(options: AgentConfigOptions): string {
  const { directory, kafka, level } = options;
  mkdirSync(directory, { recursive: true });
  const storage = {
    type: 'storage',
    subscribe: ['raw'],
    directory: join(directory, 'archive'),
    compression: level === 'F4z' ? 'zstd' : 'none',
    retain: { size: options.retain, age: 'none' },
  };
  const config = {
    agent: {
      id: 'bench',
      data_dir: directory,
      workers: options.workers,
      log_level: 'warn',
      shutdown: { serve_on: '0s', grace: '60s' },
    },
    admin: { endpoint: '127.0.0.1:0' },
    ingest: { http: { endpoint: '127.0.0.1:0', fast_path: level !== 'F4n' } },
    journal: { durability: 'durable' },
    contracts: level === 'F1' ? [] : CONTRACT_FILES,
    processors:
      level === 'F1'
        ? []
        : [
            { type: 'summarize' },
            { type: 'detect' },
            { type: 'sample', wait: '1s', base: level === 'F2' ? '100%' : '10%' },
          ],
    sinks: [
      { type: 'kafka', brokers: [kafka], subscribe: level === 'F1' ? FORWARDED : TOPICS, compression: 'zstd' },
      ...(ARCHIVED.includes(level) ? [storage] : []),
    ],
  };
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, JSON.stringify(config, null, 2));
  return file;
}
