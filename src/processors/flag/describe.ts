/** A flag as an event: what was expected, what came, and how unlike the series' past it is. */
import type { EventRecord } from '../../core/otel.ts';
import type { Finding } from './watch.ts';

/** WARN: a flag is a hint; contracts say what is an error. */
const SEVERITY = 13;

/** What a series is called and counted in. */
export interface Named {
  service: string;
  /** What of its resource is told beside its name; missing of former versions. */
  resource?: Record<string, string>;
  /** `rate`, `errors`, `latency.p50`, `latency.p95`, `contract.NAME` or `metric.NAME`. */
  signal: string;
  unit: 'spans/s' | 'share' | 'ms' | '';
  attributes: Record<string, string>;
}

export function describeFlag(
  of: Named,
  { value, expected, score }: Finding,
  timeMs: number,
  agent: string,
): EventRecord {
  const came = `${format(value, of.unit)} where ${format(expected, of.unit)} was expected`;
  return {
    name: 'plumbline.anomaly.detected',
    timeMs,
    severity: SEVERITY,
    body: `${of.service}: ${of.signal} is ${came} (score ${score.toFixed(1)})`,
    resource: { 'service.name': of.service, ...of.resource },
    attributes: {
      ...of.attributes,
      'signal.name': of.signal,
      'signal.value': value,
      'anomaly.expected': Number(expected.toPrecision(4)),
      'anomaly.score': Number(score.toFixed(2)),
      'plumbline.agent': agent,
    },
  };
}

function format(value: number, unit: Named['unit']): string {
  if (unit === 'share') return `${(value * 100).toPrecision(3)}%`;
  return `${Number(value.toPrecision(3))}${unit === '' ? '' : ` ${unit}`}`;
}
