// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/** What a span or log record says by itself about its class: status or severity, slowness, sampling.priority, rules. */
import { createItems } from '../../contracts/items.ts';
import { type Condition, compileConditions, matchesAll, Sight } from '../../contracts/match.ts';
import { type AttributeTable, emptyValue, readValue } from '../../otlp/attributes.ts';
import { type LogView, SEVERITY_ERROR } from '../../otlp/logs.ts';
import { Reader } from '../../otlp/protobuf.ts';
import type { Envelope } from '../../otlp/resource.ts';
import { type SpanView, STATUS_ERROR } from '../../otlp/traces.ts';
import type { Views } from '../processor.ts';
import { BASE, ERROR, ruleClass, SLOW, UNWANTED, WANTED } from './classes.ts';
import type { SampleConfig } from './index.ts';

const PRIORITY = Buffer.from('sampling.priority');

interface Rule {
  conditions: Condition[];
  traceClass: number;
}

export class ItemClass {
  readonly #reader: Reader;
  /** So that looking at an attribute does not move the walk. */
  readonly #aside: Reader;
  readonly #spanItem;
  readonly #logItem;
  readonly #spanRules: Rule[];
  readonly #logRules: Rule[];
  readonly #value = emptyValue();
  /** Attributes that rules ask for are found in one pass. */
  readonly #sight = new Sight();

  constructor({ rules }: SampleConfig, { reader, span, log }: Views) {
    this.#reader = reader;
    this.#aside = new Reader(reader.bytes);
    const { spanItem, logItem } = createItems(span, log, this.#aside);
    this.#spanItem = spanItem;
    this.#logItem = logItem;
    const compile = (of: 'spans' | 'logs') =>
      rules.flatMap((rule, i) =>
        rule.of === of ? [{ conditions: compileConditions(rule.where, this.#sight), traceClass: ruleClass(i) }] : [],
      );
    this.#spanRules = compile('spans');
    this.#logRules = compile('logs');
  }

  /** Another resource, or another task. */
  enterResource(): void {
    this.#sight.resource.begin();
  }

  get hasLogRules(): boolean {
    return this.#logRules.length > 0;
  }

  /** `span.slow` has been set by whoever measures contracts. */
  ofSpan(span: SpanView, envelope: Envelope): number {
    if (span.status === STATUS_ERROR) return ERROR;
    if (span.slow) return SLOW;
    const priority = this.#priorityOf(span.attributes);
    if (priority !== BASE || this.#spanRules.length === 0) return priority;
    this.#sight.item.begin();
    for (let i = 0; i < this.#spanRules.length; i++) {
      const { conditions, traceClass } = this.#spanRules[i]!;
      if (matchesAll(conditions, this.#spanItem, envelope, this.#aside)) return traceClass;
    }
    return BASE;
  }

  ofLog(log: LogView, envelope: Envelope): number {
    if (log.severity >= SEVERITY_ERROR) return ERROR;
    const priority = this.#priorityOf(log.attributes);
    if (priority !== BASE || this.#logRules.length === 0) return priority;
    this.#sight.item.begin();
    for (let i = 0; i < this.#logRules.length; i++) {
      const { conditions, traceClass } = this.#logRules[i]!;
      if (matchesAll(conditions, this.#logItem, envelope, this.#aside)) return traceClass;
    }
    return BASE;
  }

  #priorityOf(attributes: AttributeTable): number {
    const found = attributes.find(this.#reader.bytes, PRIORITY);
    if (found < 0 || attributes.valueAt(found) < 0) return BASE;
    readValue(this.#aside, attributes.valueAt(found), attributes.valueEnd(found), this.#value);
    if (this.#value.kind !== 'int' && this.#value.kind !== 'double') return BASE;
    return this.#value.number > 0 ? WANTED : UNWANTED;
  }
}
