/** Reads contract files: every fault with file, line and column. What a contract means is planner.ts's business. */
import { globSync, readFileSync } from 'node:fs';
import { messageOf } from '../core/errors.ts';
import { compileSchema } from '../core/schema.ts';
import { type Path, readYaml } from '../core/yaml.ts';
import { type ContractSource, contractSchema } from './contract.ts';
import type { Example } from './example.ts';
import { type ContractPlan, nameOfSignal } from './plan.ts';
import { planContract } from './planner.ts';

export interface ContractFile {
  file: string;
  plan: ContractPlan;
  examples: Example[];
}

interface ContractReport {
  /** Those without a fault, in the order of their files. */
  plans: ContractPlan[];
  /** The same with where they stand, and their examples. */
  files: ContractFile[];
  faults: string[];
}

/** What a file's text said: a reload asks for many that have not changed. */
export type ContractCache = Map<string, { text: string; contract: ContractFile | null; faults: string[] }>;

const check = compileSchema(contractSchema);

/** Reads what absolute globs lead to; a name without a wildcard must exist. */
export function readContracts(globs: readonly string[], cache: ContractCache = new Map()): ContractReport {
  const report: ContractReport = { plans: [], files: [], faults: [] };
  for (const file of contractFiles(globs)) {
    try {
      const text = readFileSync(file, 'utf8');
      let known = cache.get(file);
      if (known?.text !== text) {
        known = { text, ...readContract(text, file) };
        cache.set(file, known);
      }
      report.faults.push(...known.faults);
      if (known.contract !== null) report.files.push(known.contract);
    } catch (error) {
      const isDirectory = error instanceof Error && 'code' in error && error.code === 'EISDIR';
      const why = isDirectory ? `it is a directory: name its files, as ${file}/*.yaml` : messageOf(error);
      report.faults.push(`${file} cannot be read: ${why}`);
    }
  }
  report.plans = report.files.map(({ plan }) => plan);
  report.faults.push(...sharedSignals(report.files));
  return report;
}

export function contractFiles(globs: readonly string[]): string[] {
  return [...new Set(globs.flatMap((glob) => (/[*?[{]/.test(glob) ? globSync(glob).sort() : [glob])))];
}

/** Two contracts that measure the very same thing would have to share its counts. */
function sharedSignals(files: readonly ContractFile[]): string[] {
  const seen = new Map<number, ContractFile>();
  const faults: string[] = [];
  for (const one of files) {
    for (const { key, name } of one.plan.signals) {
      const other = seen.get(key);
      if (other === undefined) seen.set(key, one);
      else if (other !== one) {
        const signal = `signal "${name}" of service ${one.plan.service}`;
        faults.push(`${one.file}: ${signal} stands in ${other.file}, too: leave it in one`);
      }
    }
  }
  return faults;
}

/** What is valid and yet hardly meant: within what contracts say of a service, a signal's name is all that tells its metrics and events apart. */
export function adviceOfContracts(files: readonly ContractFile[]): string[] {
  const seen = new Map<string, ContractFile>();
  const advice: string[] = [];
  for (const one of files) {
    for (const { name } of one.plan.signals) {
      const written = nameOfSignal(one.plan, name);
      const other = seen.get(written);
      if (other === undefined) seen.set(written, one);
      else if (other !== one) {
        const signal = `signal "${name}" of service ${one.plan.service}`;
        const wayOut =
          'metrics show the worse of the two, events do not tell them apart; give one of them another name';
        advice.push(`${one.file}: ${signal} has the name of one in ${other.file}: ${wayOut}`);
      }
    }
  }
  return advice;
}

function readContract(text: string, file: string): { contract: ContractFile | null; faults: string[] } {
  // A contract means the same on every node, and in CI.
  const yaml = readYaml({ text, file, env: null });
  if (!yaml.readable) return { contract: null, faults: yaml.faults };
  const source = yaml.value ?? {};
  const within = (path: Path) => (path.length === 0 ? 'the contract' : path.join('.'));
  const faults = check(source, within)
    .filter(({ path }) => !yaml.isUnset(path))
    .map(({ path, part, message }) => `${yaml.where(path, part)}: ${message}`);
  if (faults.length > 0 || yaml.faults.length > 0) return { contract: null, faults: [...yaml.faults, ...faults] };
  // The schema has just said that it is one, and filled in its defaults.
  const planned = planContract(source as ContractSource);
  if (planned.faults.length === 0)
    return { contract: { file, plan: planned.plan, examples: planned.examples }, faults: [] };
  return {
    contract: null,
    faults: planned.faults.map(({ path, message }) => `${yaml.where(path, 'value')}: ${message}`),
  };
}
