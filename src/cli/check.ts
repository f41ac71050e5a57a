/** `plumbline check`: holds recorded telemetry, or that of a command, against contracts; their examples in any case. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { newMemory } from '../contracts/memory.ts';
import type { ContractPlan, SignalPlan } from '../contracts/plan.ts';
import { readContracts } from '../contracts/read.ts';
import { judgeRun } from '../contracts/verdict.ts';
import { suggest } from '../core/nearest.ts';
import { runCommand } from './check/command.ts';
import { runExamples } from './check/examples.ts';
import { readInput, requireTelemetry } from './check/inputs.ts';
import { createMeasuring, type Instance } from './check/measure.ts';
import { type Checked, type Format, formatReport, type SignalVerdict } from './check/report.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED, EXIT_NOT_ENOUGH, EXIT_USAGE } from './exit.ts';

const FORMATS: readonly Format[] = ['table', 'json', 'markdown'];
const RECEIVED_MS = 1000;
/** A process tells of its metrics a minute after it began, by default, and may be the first that a recording has anything of. */
const BEFORE_FIRST_MS = 120_000;
const REJECTED =
  'which the agent would reject: spans whose ids are not 16 and 8 bytes (in JSON as hex), or histograms whose counts do not fit their bounds';
const WORST_FIRST = ['broken', 'not_enough_data', 'kept'] as const;

export async function check(args: string[], context: Context): Promise<number> {
  const separator = args.indexOf('--');
  const command = separator < 0 ? null : args.slice(separator + 1);
  const { values, positionals } = parseArgs({
    args: separator < 0 ? args : args.slice(0, separator),
    options: {
      input: { type: 'string', multiple: true },
      format: { type: 'string' },
      json: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const format = values.json === true ? 'json' : FORMATS.find((one) => one === (values.format ?? 'table'));
  if (format === undefined)
    return refuse(context, `no format "${values.format}": ${suggest(values.format ?? '', FORMATS)}`);
  if (positionals.length === 0) return refuse(context, 'no contract: name at least one file');
  if (command?.length === 0) return refuse(context, 'no command after --');
  const { plans, files, faults } = readContracts(positionals.map((path) => resolve(path)));
  if (faults.length > 0) return refuse(context, faults.join('\n'));
  if (plans.length === 0) return refuse(context, `no contract in ${positionals.join(', ')}`);
  const examples = files.flatMap(runExamples);
  const inputs = values.input ?? [];
  const isRecorded = inputs.length > 0 || command !== null;
  if (!isRecorded && examples.length === 0)
    return refuse(context, 'nothing to hold against it: give --input FILE, or -- COMMAND, or write examples');
  const found = isRecorded ? await judgeAll(plans, inputs, command, context) : { signals: [], command: null };
  const checked: Checked = { verdict: 'kept', examples, ...found };
  checked.verdict = verdictOf(checked);
  context.stdout(formatReport(checked, format));
  return { kept: 0, broken: EXIT_FAILED, not_enough_data: EXIT_NOT_ENOUGH }[checked.verdict];
}

function refuse(context: Context, message: string): number {
  context.stderr(`${message}\n`);
  return EXIT_USAGE;
}

async function judgeAll(
  plans: readonly ContractPlan[],
  inputs: readonly string[],
  command: readonly string[] | null,
  context: Context,
): Promise<Pick<Checked, 'signals' | 'command'>> {
  if (command === null) {
    for (const input of inputs) requireTelemetry(input);
    return { signals: judgeInputs(plans, inputs, null, context), command: null };
  }
  const startedMs = Date.now();
  const { directory, status, remove } = await runCommand(command, context);
  try {
    // Not before: the command may have written what lies there.
    for (const input of inputs) requireTelemetry(input);
    return {
      signals: judgeInputs(plans, [...inputs, directory], inputs.length > 0 ? null : startedMs, context),
      command: status,
    };
  } finally {
    remove();
  }
}

/** The whole run is one window: by own times it has a length, and nothing in it is late. When it began, its first item says, or the caller. */
function judgeInputs(
  plans: readonly ContractPlan[],
  inputs: readonly string[],
  startedMs: number | null,
  context: Context,
): SignalVerdict[] {
  // Infinity does not survive the way to a worker.
  const patient = plans.map((plan) => ({ ...plan, lateAfterMs: Number.MAX_SAFE_INTEGER }));
  const measuring = createMeasuring(patient, true);
  for (const input of inputs) readInput(input, (signal, bytes) => measuring.add(signal, bytes, RECEIVED_MS));
  const rejected = measuring.rejected();
  if (rejected > 0) context.stderr(`${rejected} ${rejected === 1 ? 'item is' : 'items are'} left out, ${REJECTED}\n`);
  const times = measuring.times();
  const services = measuring.services();
  const seconds = times === null ? 1 : Math.max(1, (times.lastMs - times.firstMs) / 1000);
  const sinceMs = startedMs ?? (times?.firstMs ?? 0) - BEFORE_FIRST_MS;
  return plans.flatMap((contract) =>
    contract.signals.map((signal) => ({
      contract,
      signal,
      others: services.includes(contract.service) ? [] : services,
      ...worstOf(signal, measuring.instancesOf(signal), seconds, sinceMs),
    })),
  );
}

/** A signal that is judged per instance is as good as its worst one; where nothing came there is none. */
function worstOf(signal: SignalPlan, instances: readonly Instance[], seconds: number, sinceMs: number) {
  const judged = instances.map(({ name, memory }) => ({
    instance: name,
    verdict: judgeRun(signal, memory, seconds, sinceMs),
  }));
  const worst = WORST_FIRST.map((kind) => judged.filter(({ verdict }) => verdict.kind === kind)).find(
    (some) => some.length > 0,
  );
  const [first = { instance: '', verdict: judgeRun(signal, newMemory(signal), seconds) }, ...others] = worst ?? [];
  return others.reduce(
    (most, one) => ((one.verdict.value - most.verdict.value) * signal.direction > 0 ? one : most),
    first,
  );
}

function verdictOf({ signals, examples, command }: Checked): Checked['verdict'] {
  const kinds = signals.map(({ verdict }) => verdict.kind);
  const differs = examples.some(({ differing }) => differing.length > 0);
  if (kinds.includes('broken') || differs || (command !== null && command !== 0)) return 'broken';
  return kinds.includes('not_enough_data') ? 'not_enough_data' : 'kept';
}
