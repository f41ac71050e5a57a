/** What an admin port shows that has nothing to show, on any free port of loopback. */
import { createTelemetry } from '../../src/core/telemetry.ts';
import type { StatusSources } from '../../src/status/server.ts';

export function quietSources(): StatusSources {
  return {
    endpoint: '127.0.0.1:0',
    tokenFile: '',
    onReload: () => {},
    telemetry: createTelemetry(),
    refresh: () => {},
    status: () => ({ agent: { id: 'a' } }),
    reasons: () => [],
    contracts: () => [],
    trace: async () => ({}),
  };
}
