/** A world for commands under test: what they print is kept, signals are sent by hand, the agent is a fake. */
import { EventEmitter } from 'node:events';
import type { Agent } from '../../src/agent.ts';
import type { Context, Signal } from '../../src/cli/context.ts';
import { Type } from '../../src/core/type.ts';

export interface FakeWorld {
  context: Context;
  stdout(): string;
  stderr(): string;
  signal(name: Signal): void;
  hangUp(): void;
  crash(error: Error): void;
  /** Resolves when stdout has had a line. */
  printed: Promise<void>;
}

export function fakeWorld(changes: Partial<Context> = {}): FakeWorld {
  const out: string[] = [];
  const err: string[] = [];
  const events = new EventEmitter();
  const printed = Promise.withResolvers<void>();
  const context: Context = {
    env: {},
    stdout: (text) => {
      out.push(text);
      printed.resolve();
    },
    stderr: (text) => err.push(text),
    isTerminal: false,
    onSignal: (listener) => events.on('signal', listener),
    onHangup: (listener) => events.on('hangup', listener),
    onUncaught: (listener) => events.on('uncaught', listener),
    components: async () => ({
      processors: [],
      sinks: [{ type: 'console', summary: 'Prints.', config: Type.Object({}) }],
    }),
    start: async () => fakeAgent(),
    ...changes,
  };
  return {
    context,
    stdout: () => out.join(''),
    stderr: () => err.join(''),
    signal: (name) => events.emit('signal', name),
    hangUp: () => events.emit('hangup'),
    crash: (error) => events.emit('uncaught', error),
    printed: printed.promise,
  };
}

export function fakeAgent(changes: Partial<Agent> = {}): Agent {
  return {
    ingestUrl: 'http://127.0.0.1:1',
    adminUrl: 'http://127.0.0.1:2',
    reload: async () => {},
    stop: async () => {},
    ...changes,
  };
}
