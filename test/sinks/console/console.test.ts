/** Holds the console sink: one readable line an event, nothing that could drive a terminal, and no crash when nobody listens. */
import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import type { SinkDefinition } from '../../../src/core/component.ts';
import { console as consoleSink } from '../../../src/sinks/console/index.ts';
import { createConsoleWriter } from '../../../src/sinks/console/writer.ts';
import { bytesOfRequest, createHarness, eventually, resource } from '../harness.ts';

const ROW = { stream: 'events', signal: 'logs' } as const;
const AT_MS = new Date(2025, 5, 1, 12, 3, 20).getTime();

function event(eventName: string, values: Record<string, string | number>, timeMs = AT_MS): Buffer {
  const attributes = Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === 'string'
        ? { stringValue: value }
        : Number.isInteger(value)
          ? { intValue: value }
          : { doubleValue: value },
  }));
  const logRecords = [{ timeUnixNano: `${timeMs}000000`, eventName, attributes }];
  return bytesOfRequest('logs', { resourceLogs: [{ resource: resource('checkout'), scopeLogs: [{ logRecords }] }] });
}

function printing(out: Writable) {
  const definition: SinkDefinition = {
    ...consoleSink,
    open: async (_config, context) => createConsoleWriter(out, context),
  };
  return createHarness(definition, { type: 'console' });
}

async function lines(...events: Buffer[]): Promise<string[]> {
  const out = new PassThrough();
  const { source, delivery } = printing(out);
  for (const payload of events) source.append('events', 'logs', payload, 1);
  delivery.start();
  await delivery.drain(Date.now() + 5000);
  await delivery.close(Date.now() + 5000);
  const text = String(out.read() ?? '');
  assert.ok(text.endsWith('\n'), 'only whole lines');
  return text.trimEnd().split('\n');
}

const CHANGED = {
  'contract.service': 'checkout',
  'contract.version': 'v1',
  'contract.state': 'breached',
  'contract.previous_state': 'healthy',
  'signal.name': 'errors',
  'signal.value': 0.071,
  'signal.threshold': 'above 5%',
  'signal.window': '1m',
  'signal.items': 812,
};

test('a change of state reads as a sentence', async () => {
  assert.deepEqual(await lines(event('plumbline.contract.state_changed', CHANGED)), [
    '12:03:20  checkout  errors  healthy -> breached  7.1% (above 5%) over 1m, 812 items',
  ]);
});

test('beside a signal stand the states of that signal, not those of its contract', async () => {
  const signal = { 'signal.state': 'breached', 'signal.previous_state': 'unknown' };
  const frozen = { 'signal.state': 'healthy', 'signal.previous_state': 'healthy', 'contract.frozen': 1 };
  const found = await lines(
    event('plumbline.contract.state_changed', { ...CHANGED, 'contract.previous_state': 'degraded', ...signal }),
    event('plumbline.contract.no_data', { ...CHANGED, 'contract.previous_state': 'breached', ...frozen }),
  );
  assert.deepEqual(found, [
    '12:03:20  checkout  errors  unknown -> breached  7.1% (above 5%) over 1m, 812 items',
    '12:03:20  checkout  errors  healthy  7.1% (above 5%) over 1m, 812 items  contract.frozen=1',
  ]);
});

test('other events say their name and what they know', async () => {
  const found = await lines(event('plumbline.anomaly.detected', { 'anomaly.score': 6.25, 'signal.name': 'latency' }));
  assert.deepEqual(found, ['12:03:20  checkout  latency  anomaly.detected  anomaly.score=6.25']);
});

test('values cannot drive the terminal, forge a line or fill the screen', async () => {
  const hostile = { ...CHANGED, 'contract.service': `a\n12:00:00  b\u001b[2J\u202e\u2028`, note: 'x'.repeat(10_000) };
  const [line, ...more] = await lines(event('e', hostile));
  assert.deepEqual(more, []);
  assert.match(line as string, /^12:03:20 {2}a\\u000a12:00:00 {2}b\\u001b\[2J\\u202e\\u2028 {2}errors/);
  assert.ok((line as string).length < 600);
});

test('a stream that closed is no crash and holds nothing up', async () => {
  const out = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  const { source, delivery, cursor } = printing(out);
  for (let i = 0; i < 3; i++) source.append('events', 'logs', event('e', CHANGED), 1);
  delivery.start();
  await eventually(() => cursor(ROW).next === 3);
  source.append('events', 'logs', event('e', CHANGED), 1);
  await eventually(() => cursor(ROW).next === 4);
  await delivery.close(Date.now() + 5000);
});

test('what is no event is set aside', async () => {
  const { source, delivery, cursor } = printing(new PassThrough());
  source.append('events', 'logs', Buffer.from([0x0a, 0x7f]), 1);
  delivery.start();
  await eventually(() => cursor(ROW).next === 1);
  assert.deepEqual([cursor(ROW).delivered, cursor(ROW).deadLettered], [0, 1]);
  await delivery.close(Date.now() + 5000);
});
