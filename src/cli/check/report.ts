/** What `check` found, for people (a table), for pull requests (markdown) and for programs (JSON). The first line is the reason. */
import type { ContractPlan, SignalPlan } from '../../contracts/plan.ts';
import type { Verdict } from '../../contracts/verdict.ts';
import { formatShare, formatValue, hasValue } from '../../contracts/words.ts';
import { cutText } from '../../core/boundedText.ts';
import type { ExampleResult } from './examples.ts';

export interface SignalVerdict {
  contract: ContractPlan;
  signal: SignalPlan;
  /** Of `per`: the one that decides; empty when all are judged as one. */
  instance: string;
  verdict: Verdict;
  /** Services that sent something, where the contract's did not. */
  others: string[];
}

export interface Checked {
  verdict: 'kept' | 'broken' | 'not_enough_data';
  signals: SignalVerdict[];
  examples: ExampleResult[];
  /** Exit status or signal of the command; null without one. */
  command: number | string | null;
}

export type Format = 'table' | 'json' | 'markdown';

const MOST_OTHERS = 5;

const WORDS = { kept: 'kept', broken: 'broken', not_enough_data: 'not enough data' } as const;

export function formatReport(checked: Checked, format: Format): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(asJson(checked), null, 2)}\n`;
    case 'markdown':
      return formatMarkdown(checked);
    case 'table':
      return formatTable(checked);
    default:
      return format satisfies never;
  }
}

/** The verdict and its reason in a line. */
function reasonOf({ verdict, signals, examples, command }: Checked): string {
  const failed = examples.find(({ differing }) => differing.length > 0);
  const worst = signals.find((one) => one.verdict.kind === verdict);
  if (verdict === 'kept') {
    const held = signals.length > 0 ? `all ${signals.length} signals hold` : '';
    const shown = examples.length > 0 ? `${examples.length} examples give their states` : '';
    return `kept: ${[held, shown].filter((words) => words !== '').join(', ')}`;
  }
  if (worst !== undefined) return `${WORDS[verdict]}: ${worst.contract.service} ${worst.signal.name}: ${whyOf(worst)}`;
  if (failed !== undefined) {
    const [first] = failed.differing;
    return `broken: example "${failed.example}" of ${failed.file}: ${first?.signal} is ${first?.found}, expected ${first?.expected} (${first?.why})`;
  }
  return `broken: the command ended with ${command}`;
}

function whyOf(one: SignalVerdict): string {
  return one.instance === '' ? reasonIn(one) : `${one.instance}: ${reasonIn(one)}`;
}

function reasonIn({ contract, signal, verdict, others }: SignalVerdict): string {
  const { value, items, bounds, needed, kind } = verdict;
  const limit = `limit ${signal.budget === null ? signal.thresholds.breached : `above ${formatShare(signal.budget)}`}`;
  if (items === 0) {
    const enough = needed === null ? '' : `; ${needed} ${needed === 1 ? 'item' : 'items'} would be enough`;
    const named = others
      .slice(0, MOST_OTHERS)
      .map((name) => (name === '' ? 'a service without a name' : cutText(name)));
    const more = others.length > MOST_OTHERS ? ` and ${others.length - MOST_OTHERS} more` : '';
    const instead = others.length === 0 ? '' : ` (nothing of ${contract.service}, but of ${named.join(', ')}${more})`;
    return `nothing came that it is about${instead}, ${limit}${bounds === null ? '' : enough}`;
  }
  if (bounds === null) return `${formatValue(signal, value)}, ${limit}`;
  const what = signal.slowerThanMs === null ? 'bad' : 'slow';
  const seen = `${formatShare(value)} of ${Math.round(items)} items ${what}`;
  const between = `between ${formatShare(bounds.lower)} and ${formatShare(bounds.upper)}`;
  if (kind !== 'not_enough_data') return `${seen} (${between}), ${limit}`;
  const enough = needed === null ? 'no number of items would decide that' : `${needed} would be enough at this share`;
  return `${seen} (${between}), ${limit}; ${enough}`;
}

type Row = readonly [verdict: string, service: string, signal: string, reason: string];

function rowsOf({ signals, examples }: Checked): Row[] {
  return [
    ...signals.map((one): Row => {
      const degraded = one.verdict.degraded && one.verdict.kind !== 'broken';
      const note = degraded ? `; over degraded: ${one.signal.thresholds.degraded}` : '';
      return [WORDS[one.verdict.kind], one.contract.service, one.signal.name, `${whyOf(one)}${note}`];
    }),
    ...examples.map(({ file, example, differing }): Row => {
      const found = differing.map((one) => `${one.signal} is ${one.found}, expected ${one.expected} (${one.why})`);
      return [found.length === 0 ? 'as expected' : 'differs', file, `example: ${example}`, found.join('; ')];
    }),
  ];
}

function formatTable(checked: Checked): string {
  const rows = rowsOf(checked);
  const widths = [0, 1, 2].map((column) => Math.max(0, ...rows.map((row) => (row[column] ?? '').length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${[reasonOf(checked), '', ...lines].join('\n')}\n`;
}

function formatMarkdown(checked: Checked): string {
  const quoted = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const lines = rowsOf(checked).map((row) => `| ${row.map(quoted).join(' | ')} |`);
  const head = ['| verdict | service | signal | why |', '|---|---|---|---|'];
  return `${[`**${quoted(reasonOf(checked))}**`, '', ...head, ...lines].join('\n')}\n`;
}

function asJson(checked: Checked): object {
  return {
    verdict: checked.verdict,
    reason: reasonOf(checked),
    signals: checked.signals.map((one) => ({
      service: one.contract.service,
      signal: one.signal.name,
      instance: one.instance === '' ? null : one.instance,
      verdict: one.verdict.kind,
      value: hasValue(one.signal, one.verdict.items) ? one.verdict.value : null,
      items: one.verdict.items,
      bounds: one.verdict.bounds,
      needed: one.verdict.needed,
      threshold: one.signal.thresholds,
      degraded: one.verdict.degraded,
      why: whyOf(one),
    })),
    examples: checked.examples,
    command: checked.command,
  };
}
