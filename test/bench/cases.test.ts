/** Holds bench/cases.ts: which cases a run's flags ask for, and that mistakes are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { casesOf, SCENARIOS } from '../../bench/cases.ts';

test('levels of one workload, as the flags say', () => {
  const cases = casesOf({ levels: 'F0,F4', workload: 'W-small', batch: '50', rate: '1000', dist: true });
  const same = { workload: 'W-small', batch: 50, rate: 1000, dist: true };
  assert.deepEqual(cases, [
    { name: 'F0', level: 'F0', ...same },
    { name: 'F4', level: 'F4', ...same },
  ]);
});

test('without flags: the floor, the sample, and the whole job, on the standard workload in a closed loop', () => {
  assert.deepEqual(
    casesOf({}).map(({ level, workload, batch, rate, dist }) => [level, workload, batch, rate, dist]),
    ['F0', 'F3', 'F4'].map((level) => [level, 'W-std', null, 0, false]),
  );
});

for (const [scenario, cases] of Object.entries(SCENARIOS)) {
  test(`scenario ${scenario}: every case has a name of its own, and the first one a rate that no other gives`, () => {
    assert.equal(casesOf({ scenario }), cases);
    assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
    assert.equal(typeof cases[0]?.rate, 'number');
  });
}

test('what is not known is told with what is', () => {
  assert.throws(() => casesOf({ levels: 'F9' }), /unknown level "F9": one of F0, F1, F2,/);
  assert.throws(() => casesOf({ workload: 'W-big' }), /unknown workload "W-big": one of W-std,/);
  assert.throws(() => casesOf({ scenario: 'all' }), /unknown scenario "all": one of levels, inputs,/);
  assert.throws(() => casesOf({ scenario: 'levels', workload: 'W-std' }), /--scenario fixes --workload/);
  assert.throws(() => casesOf({ levels: 'naive', workload: 'W-gzip' }), /naive takes uncompressed traces alone/);
});
