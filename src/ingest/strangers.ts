/**
 * Clients that do not speak what this port speaks: an exporter of OTLP over gRPC, http:// where https:// is asked for, and the other way round. They see a
 * broken connection and try again every few seconds, so the agent's log says it, once in a while for each kind.
 */

/** What Node's parser, or its TLS, says of the first bytes of a connection. */
export interface BrokenStart extends NodeJS.ErrnoException {
  rawPacket?: Uint8Array;
}

const TOLD_EVERY_MS = 600_000;
/** What a record of TLS begins with that is of a handshake. */
const TLS_HANDSHAKE = 0x16;

/** `tell` gets words for the log; `nowMs` does not go back. */
export function createTellStranger(tell: (message: string) => void, nowMs: () => number) {
  const toldMs = new Map<string, number>();
  return (error: BrokenStart, address: string | undefined): void => {
    const words = wordsFor(error);
    if (words === null || nowMs() - (toldMs.get(words) ?? -Infinity) < TOLD_EVERY_MS) return;
    toldMs.set(words, nowMs());
    tell(`a client${address ? ` at ${address}` : ''} ${words}; it and others like it get nothing through`);
  };
}

function wordsFor({ code, rawPacket }: BrokenStart): string | null {
  if (code === 'HPE_PAUSED_H2_UPGRADE')
    return 'speaks HTTP/2, as OTLP over gRPC does, which is not taken: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf there';
  if (code === 'ERR_SSL_HTTP_REQUEST')
    return 'sends plain HTTP where ingest.http.tls is set: give it an endpoint that begins with https://';
  if (code === 'HPE_INVALID_METHOD' && rawPacket?.[0] === TLS_HANDSHAKE)
    return 'begins with TLS where ingest.http.tls is not set: give it an endpoint that begins with http://, or set that';
  return null;
}
