// HOT: once per span. Bench: bench/micro/processors/sample/mark.bench.ts
/** What a span or log record says by itself about its class: status or severity, slowness, sampling.priority, rules. */
import { FirstMatch } from '../../contracts/firstMatch.ts';
import { createItems } from '../../contracts/items.ts';
import { Sight } from '../../contracts/lookup.ts';
import { compileConditions } from '../../contracts/match.ts';
import { type AttributeTable, emptyValue, readValue } from '../../otlp/attributes.ts';
import { type LogView, SEVERITY_ERROR } from '../../otlp/logs.ts';
import { Reader } from '../../otlp/protobuf.ts';
import type { Envelope } from '../../otlp/resource.ts';
import { type SpanView, STATUS_ERROR } from '../../otlp/traces.ts';
import type { Views } from '../processor.ts';
import { BASE, ERROR, ruleClass, SLOW, UNWANTED, WANTED } from './classes.ts';
import type { SampleConfig } from './config.ts';
import { hashOfOperation, Limits } from './limits.ts';

const PRIORITY = Buffer.from('sampling.priority');

interface Rules {
  first: FirstMatch;
  traceClasses: number[];
}

export class ItemClass {
  readonly #reader: Reader;
  /** So that looking at an attribute does not move the walk. */
  readonly #aside: Reader;
  readonly #spanItem;
  readonly #logItem;
  readonly #spanRules: Rules;
  readonly #logRules: Rules;
  readonly #value = emptyValue();
  /** Attributes that rules ask for are found in one pass. */
  readonly #sight = new Sight();
  /** Null when none are learned. */
  readonly #limits: Limits | null;

  constructor({ rules, slower_than }: SampleConfig, { reader, span, log, traces }: Views) {
    this.#limits = slower_than === 'none' || traces === null ? null : new Limits(traces.limits);
    this.#reader = reader;
    this.#aside = new Reader(reader.bytes);
    const { spanItem, logItem } = createItems(span, log, this.#aside);
    this.#spanItem = spanItem;
    this.#logItem = logItem;
    const compile = (of: 'spans' | 'logs'): Rules => {
      const numbers = [...rules.keys()].filter((i) => rules[i]?.of === of);
      const lists = rules.filter((rule) => rule.of === of).map(({ where }) => compileConditions(where, this.#sight));
      return { first: new FirstMatch(lists), traceClasses: numbers.map(ruleClass) };
    };
    this.#spanRules = compile('spans');
    this.#logRules = compile('logs');
  }

  /** A task begins. */
  begin(): void {
    if (this.#limits !== null) this.#limits.begin();
  }

  /** What the span's operation is known by: as much of its name as summaries, which limits are learned from, tell. */
  operationOf(span: SpanView, envelope: Envelope): number {
    return hashOfOperation(span.nameHash(this.#reader), span.kind, envelope.serviceMix);
  }

  get asksForOperations(): boolean {
    return this.#limits !== null;
  }

  /** Another resource, or another task. */
  enterResource(): void {
    this.#sight.resource.begin();
  }

  get hasLogRules(): boolean {
    return !this.#logRules.first.isEmpty;
  }

  /** `span.slow` and `span.isLimited` have been set by whoever measures contracts. `operation`: 0 when nobody asks for it. */
  ofSpan(span: SpanView, envelope: Envelope, operation: number): number {
    if (span.status === STATUS_ERROR) return ERROR;
    if (span.slow) return SLOW;
    if (this.#limits !== null && !span.isLimited && this.#limits.isOver(operation, span)) return SLOW;
    const priority = this.#priorityOf(span.attributes);
    const { first, traceClasses } = this.#spanRules;
    if (priority !== BASE || first.isEmpty) return priority;
    this.#sight.item.begin();
    const rule = first.find(this.#spanItem, envelope, this.#aside);
    return rule < 0 ? BASE : traceClasses[rule]!;
  }

  ofLog(log: LogView, envelope: Envelope): number {
    if (log.severity >= SEVERITY_ERROR) return ERROR;
    const priority = this.#priorityOf(log.attributes);
    const { first, traceClasses } = this.#logRules;
    if (priority !== BASE || first.isEmpty) return priority;
    this.#sight.item.begin();
    const rule = first.find(this.#logItem, envelope, this.#aside);
    return rule < 0 ? BASE : traceClasses[rule]!;
  }

  #priorityOf(attributes: AttributeTable): number {
    const found = attributes.find(this.#reader.bytes, PRIORITY);
    if (found < 0 || attributes.valueAt(found) < 0) return BASE;
    readValue(this.#aside, attributes.valueAt(found), attributes.valueEnd(found), this.#value);
    if (this.#value.kind !== 'int' && this.#value.kind !== 'double') return BASE;
    return this.#value.number > 0 ? WANTED : UNWANTED;
  }
}
