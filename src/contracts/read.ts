/** Reads contract files: every fault with file, line and column. What a contract means is contract.ts's business. */
import { globSync, readFileSync } from 'node:fs';
import { messageOf } from '../core/errors.ts';
import { compileSchema } from '../core/schema.ts';
import { type Path, readYaml } from '../core/yaml.ts';
import { type ContractPlan, type ContractSource, contractSchema, planContract } from './contract.ts';

export interface ContractReport {
  /** Those without a fault, in the order of their files. */
  plans: ContractPlan[];
  faults: string[];
}

const check = compileSchema(contractSchema);

/** Reads what absolute globs lead to; a name without a wildcard must exist. */
export function readContracts(globs: readonly string[]): ContractReport {
  const report: ContractReport = { plans: [], faults: [] };
  const files = new Set(globs.flatMap((glob) => (/[*?[{]/.test(glob) ? globSync(glob).sort() : [glob])));
  for (const file of files) {
    try {
      readContract(readFileSync(file, 'utf8'), file, report);
    } catch (error) {
      report.faults.push(`${file} cannot be read: ${messageOf(error)}`);
    }
  }
  report.faults.push(...sharedSignals(report.plans));
  return report;
}

/** Two contracts that measure the very same thing would have to share its counts. */
function sharedSignals(plans: readonly ContractPlan[]): string[] {
  const seen = new Map<number, ContractPlan>();
  const faults: string[] = [];
  for (const plan of plans) {
    for (const { key, name } of plan.signals) {
      const other = seen.get(key);
      if (other === undefined) seen.set(key, plan);
      else faults.push(`signal "${name}" of service ${plan.service} stands in two contracts: leave it in one`);
    }
  }
  return faults;
}

function readContract(text: string, file: string, report: ContractReport): void {
  const yaml = readYaml({ text, file, env: {} });
  report.faults.push(...yaml.faults);
  if (!yaml.readable) return;
  const source = yaml.value ?? {};
  const within = (path: Path) => (path.length === 0 ? 'the contract' : path.join('.'));
  const faults = check(source, within).map(({ path, part, message }) => `${yaml.where(path, part)}: ${message}`);
  report.faults.push(...faults);
  if (faults.length > 0 || yaml.faults.length > 0) return;
  // The schema has just said that it is one, and filled in its defaults.
  const planned = planContract(source as ContractSource);
  report.faults.push(...planned.faults.map(({ path, message }) => `${yaml.where(path, 'value')}: ${message}`));
  if (planned.faults.length === 0) report.plans.push(planned.plan);
}
