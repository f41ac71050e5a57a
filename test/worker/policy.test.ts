/** Holds src/worker/policy.ts: an epoch for each publication, and everything a worker needs of it, infinities too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractPlan } from '../../src/contracts/plan.ts';
import { AgentError } from '../../src/core/errors.ts';
import { createPolicy, publishPolicy, readPolicy } from '../../src/worker/policy.ts';
import { contractOf } from '../contracts/plans.ts';

const SIGNAL = { name: 's', of: 'spans', bad: { status: 'error' }, breached: 'above 5%' };
const contract = (service: string): ContractPlan => ({ ...contractOf([SIGNAL]), service });

test('what is published is what is read, once for each epoch', () => {
  const handle = createPolicy({ contracts: [contract('a')], processors: [] });
  let epoch = 0;
  for (const service of ['a', 'b', 'c', 'd']) {
    if (service !== 'a') publishPolicy(handle, { contracts: [contract(service)], processors: [] });
    const read = readPolicy(handle, epoch);
    assert.deepEqual(read?.policy, { contracts: [contract(service)], processors: [] });
    epoch = read?.epoch ?? 0;
    assert.equal(readPolicy(handle, epoch), null);
  }
  assert.equal(epoch, 4);
});

test('what does not fit is refused, and the policy before stays', () => {
  const handle = createPolicy({ contracts: [contract('a')], processors: [] });
  assert.throws(
    () => publishPolicy(handle, { contracts: [contract('x'.repeat(5 << 20))], processors: [] }),
    (error) => error instanceof AgentError && error.code === 'CONTRACT_INVALID',
  );
  assert.equal(readPolicy(handle, 0)?.policy.contracts[0]?.service, 'a');
});
