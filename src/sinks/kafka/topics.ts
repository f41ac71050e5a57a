/** Topic names: {signal} and resource attributes filled in, these only from a list, so that no value of the data makes a topic. */
import { type Signal, STREAMS } from '../../core/block.ts';
import type { KafkaConfig } from './config.ts';

/** How topic names call the signals, as the Collector does. */
const SIGNAL_WORDS: Record<Signal, string> = { traces: 'spans', metrics: 'metrics', logs: 'logs' };
/** Stands for every value that is not in the list, and for none. */
const OTHER = 'other';
const PLACEHOLDER = /\{([^{}]*)\}/g;
const RESOURCE = 'resource.';
/** https://github.com/apache/kafka/blob/4.0.0/clients/src/main/java/org/apache/kafka/common/internals/Topic.java */
const LEGAL = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;

type Named = Pick<KafkaConfig, 'subscribe' | 'topic_values'>;

/** The topic of a stream and signal, where it is the same for every resource; else null. */
export function fixedTopic({ subscribe }: Named, stream: string | undefined, signal: Signal): string | null {
  const pattern = named(subscribe[stream ?? ''] ?? '', signal);
  return pattern.includes('{') ? null : pattern;
}

/** The topic of a resource. `readValue` reads its attributes: '' where there is none. */
export function topicOf(
  { subscribe, topic_values: values }: Named,
  stream: string,
  signal: Signal,
  readValue: (attribute: string) => string,
): string {
  return named(subscribe[stream] ?? '', signal).replace(PLACEHOLDER, (_all, name: string) => {
    const attribute = name.slice(RESOURCE.length);
    const value = readValue(attribute);
    return values[attribute]?.includes(value) ? value : OTHER;
  });
}

/** What is wrong between `subscribe` and `topic_values`, or null. */
export function topicFault({ subscribe, topic_values: values }: Named): string | null {
  for (const stream of STREAMS) {
    const pattern = subscribe[stream];
    if (pattern === undefined) continue;
    for (const [all, name = ''] of pattern.matchAll(PLACEHOLDER)) {
      if (name === 'signal') continue;
      const attribute = name.startsWith(RESOURCE) ? name.slice(RESOURCE.length) : '';
      if (attribute === '') return `${all} in the topic of ${stream}: there are {signal} and {resource.NAME}`;
      if (values[attribute] === undefined) {
        return `${all} in the topic of ${stream} needs its values listed: topic_values: { ${attribute}: [...] }`;
      }
    }
    const longest = (name: string) =>
      [...(values[name.slice(RESOURCE.length)] ?? []), OTHER].reduce((a, b) => (b.length > a.length ? b : a));
    const name = named(pattern, 'metrics').replace(PLACEHOLDER, (_all, one: string) => longest(one));
    if (!LEGAL.test(name))
      return `the topic of ${stream} is no legal name: ${name} (letters, digits, . _ -, at most 249)`;
  }
  return null;
}

function named(pattern: string, signal: Signal): string {
  return pattern.replaceAll('{signal}', SIGNAL_WORDS[signal]);
}
