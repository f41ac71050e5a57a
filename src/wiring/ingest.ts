/** Builds the OTLP server, in front of the intake. */
import { isBeyondLoopback } from '../core/endpoint.ts';
import { LentBlock } from '../core/lentBlock.ts';
import { cgroupLimitBytes, memoryLimitBytes } from '../core/resources.ts';
import { bytesOf, millisecondsOf } from '../core/units.ts';
import type { Submit } from '../ingest/accept.ts';
import { createPressure } from '../ingest/pressure.ts';
import { type IngestOptions, type IngestServer, startIngest } from '../ingest/server.ts';
import { tlsFilesOf } from '../ingest/tls.ts';
import type { Intake } from '../worker/intake.ts';
import { type Ground, tellReload } from './ground.ts';
import type { Store } from './store.ts';

/** Share of memory_limit that requests in flight may take; blocks' share is larger, since sinks and selection need some, too. */
const IN_FLIGHT_SHARE = 0.25;
/** Those that wait are not read: this much is what their senders hold. */
const WAITING_SHARE = 0.06;

export async function serveIngest(ground: Ground, store: Store, intake: Intake): Promise<IngestServer> {
  const { config, log, telemetry, now } = ground;
  const { http, admission } = config.ingest;
  const limit = memoryLimitBytes(config.agent.memory_limit);
  const share = (setting: string, part: number) => (setting === 'auto' ? limit * part : bytesOf(setting));
  warnWhenOpen(ground);
  const ingest = await startIngest({
    endpoint: http.endpoint,
    paths: { traces: http.traces_url_path, metrics: http.metrics_url_path, logs: http.logs_url_path },
    maxBodyBytes: bytesOf(http.max_request_body_size),
    inFlightBytes: share(admission.in_flight, IN_FLIGHT_SHARE),
    waitingBytes: share(admission.waiting, WAITING_SHARE),
    pressure: createPressure(cgroupLimitBytes(), process.memoryUsage.rss, () => performance.now()),
    ...accessOf(ground),
    submit: submitTo(ground, store, intake),
    lend: (bytes) => LentBlock.of(ground.pool, bytes),
    fastPath: http.fast_path,
    onNoFastPath: () =>
      log.warn('ingest.http.fast_path does not work with this version of Node: node:http reads all requests'),
    onStranger: (message) => log.warn(message),
    onFault: (error) => log.error({ err: error }, 'a request made the receiver throw; it was answered 500'),
    telemetry,
    now,
  });
  ground.undo.push(() => ingest.close(0));
  return ingest;
}

type Access = Pick<IngestOptions, 'tls' | 'tokenFile' | 'cors' | 'onReload'>;

function accessOf(ground: Ground): Access {
  const { tls, auth, cors } = ground.config.ingest.http;
  const files = tlsFilesOf(tls);
  return {
    tls: files === null ? null : { ...files, reloadMs: millisecondsOf(tls.reload_interval) },
    tokenFile: auth.bearer_token_file === '' ? null : auth.bearer_token_file,
    cors: {
      allowedOrigins: cors.allowed_origins,
      allowedHeaders: cors.allowed_headers,
      maxAgeS: millisecondsOf(cors.max_age) / 1000,
    },
    onReload: (what, error) => tellReload(ground, `${what} of the OTLP port`, error),
  };
}

function submitTo({ telemetry }: Ground, store: Store, intake: Intake): Submit {
  return async (body) => {
    const outcome = await intake.submit(body);
    if (outcome.kind === 'accepted') {
      store.memory.rejected[body.signal] += outcome.rejected;
      telemetry.ingestItems.inc({ signal: body.signal, outcome: 'accepted' }, outcome.items);
      if (outcome.rejected > 0)
        telemetry.ingestItems.inc({ signal: body.signal, outcome: 'rejected' }, outcome.rejected);
      if (outcome.warned > 0) telemetry.ingestWarnings.inc({ signal: body.signal }, outcome.warned);
    } else if (outcome.code === 'WORKER_DIED') {
      return { ...outcome, message: 'internal error' };
    }
    return outcome;
  };
}

function warnWhenOpen({ config, log }: Ground): void {
  const { endpoint, tls, auth } = config.ingest.http;
  if (!isBeyondLoopback(endpoint)) return;
  const encrypted = tls.cert_file !== '';
  if (encrypted && (auth.bearer_token_file !== '' || tls.client_ca_file !== '')) return;
  const missing =
    auth.bearer_token_file === '' ? 'everyone who reaches it may send' : 'tokens and telemetry travel unencrypted';
  log.warn(`OTLP is taken on ${endpoint}, beyond loopback: ${missing}`);
}
