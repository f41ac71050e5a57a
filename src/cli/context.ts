/** What commands are given of the world: output, environment, signals, the registries and the agent. Tests hand in their own. */
import type { Agent, AgentOptions } from '../agent.ts';
import type { AgentConfig, Configurable } from '../config.ts';

export type Signal = 'SIGTERM' | 'SIGINT';

export interface Context {
  env: Readonly<Record<string, string | undefined>>;
  stdout(text: string): void;
  stderr(text: string): void;
  /** True when stderr is a terminal: logs are then for people. */
  isTerminal: boolean;
  onSignal(listener: (signal: Signal) => void): void;
  /** SIGHUP asks for a reload. */
  onHangup(listener: () => void): void;
  onUncaught(listener: (error: Error) => void): void;
  components(): Promise<{ processors: readonly Configurable[]; sinks: readonly Configurable[] }>;
  start(config: AgentConfig, options: AgentOptions): Promise<Agent>;
}

/** The real world. Parts are loaded when a command asks for them, so that `version` does not load a Kafka client. */
export function processContext(): Context {
  return {
    env: process.env,
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
    onSignal: (listener) => {
      process.on('SIGTERM', listener);
      process.on('SIGINT', listener);
    },
    onHangup: (listener) => process.on('SIGHUP', listener),
    onUncaught: (listener) => process.on('uncaughtException', listener),
    components: loadComponents,
    start: async (config, options) => (await import('../agent.ts')).startAgent(config, options),
  };
}

async function loadComponents() {
  const [{ processors }, { sinks }, { sinkConfig }] = await Promise.all([
    import('../processors/registry.ts'),
    import('../sinks/registry.ts'),
    import('../sinks/sink.ts'),
  ]);
  return { processors, sinks: sinks.map((sink) => ({ ...sink, config: sinkConfig(sink) })) };
}
