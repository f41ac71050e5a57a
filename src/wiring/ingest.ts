/** Builds the OTLP server, in front of the intake. */
import { memoryLimitBytes } from '../core/resources.ts';
import { type IngestServer, startIngest } from '../ingest/server.ts';
import type { Intake } from '../worker/intake.ts';
import { bytesOf, type Ground } from './ground.ts';
import type { Store } from './store.ts';

/** Share of memory_limit that requests in flight may take; blocks' share is larger, since sinks and selection need some, too. */
const IN_FLIGHT_SHARE = 0.25;

export async function serveIngest(ground: Ground, store: Store, intake: Intake): Promise<IngestServer> {
  const { config, telemetry, now } = ground;
  const { http, admission } = config.ingest;
  const limit = memoryLimitBytes(config.agent.memory_limit);
  const ingest = await startIngest({
    endpoint: http.endpoint,
    paths: { traces: http.traces_url_path, metrics: http.metrics_url_path, logs: http.logs_url_path },
    maxBodyBytes: bytesOf(http.max_request_body_size),
    inFlightBytes: admission.in_flight === 'auto' ? limit * IN_FLIGHT_SHARE : bytesOf(admission.in_flight),
    async submit(body) {
      const outcome = await intake.submit(body);
      if (outcome.kind === 'accepted') {
        store.memory.rejected[body.signal] += outcome.rejected;
        telemetry.ingestItems.inc({ signal: body.signal, outcome: 'accepted' }, outcome.items);
        if (outcome.rejected > 0)
          telemetry.ingestItems.inc({ signal: body.signal, outcome: 'rejected' }, outcome.rejected);
      }
      return outcome;
    },
    refusing: () => null,
    telemetry,
    now,
  });
  ground.undo.push(() => ingest.close());
  return ingest;
}
