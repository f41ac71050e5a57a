/** Conditions that could never hold, in words: values that are none of an enum's names, intrinsic keys of another kind of item. */
import { suggest } from '../core/nearest.ts';
import { type ConditionMap, ENUM_NAMES, INTRINSICS_OF } from './contract.ts';
import type { ContractFault, SignalPlan } from './plan.ts';

/** The lowest number of each. https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber */
const SEVERITIES = Object.entries({ TRACE: 1, DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17, FATAL: 21 });

/** Of one map, which stands at `path`. */
export function conditionFaults(map: ConditionMap, of: SignalPlan['of'], path: (string | number)[]): ContractFault[] {
  return Object.entries(map).flatMap(([key, wanted]) => {
    const owner = INTRINSICS_OF.get(key);
    if (owner !== undefined && owner !== of)
      return [
        { path: [...path, key], message: `${key} is of ${owner}, this is over ${of}: "attr.${key}" is an attribute` },
      ];
    const names = ENUM_NAMES.get(key);
    const given = textsOf(wanted);
    if (key === 'severity' && given.length > 0)
      return [{ path: [...path, key], message: severityFault(given[0] as string, (number) => `{ gte: ${number} }`) }];
    const unknown = given.filter((one) => !names?.includes(one.toLowerCase()));
    if (names === undefined || unknown.length === 0) return [];
    const message = `"${unknown[0]}" is no ${key}: ${suggest(unknown[0] as string, names)}`;
    return [{ path: [...path, key], message }];
  });
}

/** Texts that a value is compared with. */
function textsOf(wanted: ConditionMap[string]): string[] {
  const isOperators = typeof wanted === 'object' && !Array.isArray(wanted);
  const given = isOperators ? [wanted.not ?? [], wanted.like ?? []] : [wanted];
  return given.flat().filter((one) => typeof one === 'string');
}

/** `write`: what should stand there of a number. */
export function severityFault(given: string, write: (number: number) => string): string {
  const name = given.toUpperCase();
  const number = SEVERITIES.find(([one]) => one === name)?.[1];
  const wayOut = number === undefined ? `for example ${write(17)}` : `${write(number)} for ${name}`;
  return `severity is a number and never "${given}": write ${wayOut} (9 is INFO, 13 WARN, 17 ERROR, 21 FATAL)`;
}

/** The same of lists of rules, as processors have them: the first fault, or null. */
export function ruleFault(key: string, rules: readonly { of: 'spans' | 'logs'; where: ConditionMap }[]): string | null {
  for (const [index, { of, where }] of rules.entries()) {
    const [fault] = conditionFaults(where, of, []);
    if (fault !== undefined) return `${key}[${index}].where: ${fault.message}`;
  }
  return null;
}
