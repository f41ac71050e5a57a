/** Contracts for tests, planned from as few words as they need. */
import assert from 'node:assert/strict';
import { type ContractSource, contractSchema } from '../../src/contracts/contract.ts';
import type { ContractPlan, SignalPlan } from '../../src/contracts/plan.ts';
import { planContract } from '../../src/contracts/planner.ts';
import { compileSchema } from '../../src/core/schema.ts';

const check = compileSchema(contractSchema);

/** A contract of service `shop`; `more` are keys beside its signals. */
export function contractOf(signals: object[], more: object = {}): ContractPlan {
  const source = { contract: 'v1', service: 'shop', signals: signals.map((one) => ({ ...one })), ...more };
  assert.deepEqual(
    check(source, (path) => path.join('.')).map(({ message }) => message),
    [],
  );
  // The schema has just said that it is one.
  const { plan, faults } = planContract(source as unknown as ContractSource);
  assert.deepEqual(faults, []);
  return plan;
}

export function signalOf(signal: object, more: object = {}): SignalPlan {
  const [plan] = contractOf([{ name: 's', of: 'spans', ...signal }], more).signals;
  assert.ok(plan !== undefined);
  return plan;
}
