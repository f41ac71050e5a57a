/** Holds deploy/prometheus: every metric in a rule exists, and promtool runs the rules' own tests where it is installed. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { createTelemetry } from '../../src/core/telemetry.ts';

const FOLDER = fileURLToPath(new URL('../../deploy/prometheus', import.meta.url));
/** In Debian's package `prometheus` (2.42 or later); `PROMTOOL` says where else it is. */
const PROMTOOL = process.env.PROMTOOL ?? 'promtool';
const found = spawnSync(PROMTOOL, ['--version'], { encoding: 'utf8' });
const skip = found.error === undefined ? false : `no promtool (${PROMTOOL}): install Debian's package prometheus`;

interface Rules {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
}

test('rules ask for metrics that the agent has, by labels that they carry', () => {
  const { groups } = parse(readFileSync(join(FOLDER, 'rules.yaml'), 'utf8')) as Rules;
  const names = Object.values(createTelemetry()).flatMap((metric) => ('name' in metric ? [String(metric.name)] : []));
  for (const { alert, expr, annotations } of groups.flatMap(({ rules }) => rules)) {
    const asked = expr.match(/plumbline_\w+/g) ?? [];
    assert.ok(asked.length > 0, alert);
    for (const name of asked) assert.ok(names.includes(name), `${alert} asks for ${name}`);
    assert.ok(annotations.summary && annotations.description, alert);
  }
});

test('promtool finds no fault in the rules, and their tests pass', { skip }, () => {
  execFileSync(PROMTOOL, ['check', 'rules', 'rules.yaml'], { cwd: FOLDER, stdio: 'pipe' });
  execFileSync(PROMTOOL, ['test', 'rules', 'rules.test.yaml'], { cwd: FOLDER, stdio: 'pipe' });
});
