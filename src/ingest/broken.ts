/** Answers what is no request: malformed, too slow, too long. The connection ends with it. */
import type { Duplex } from 'node:stream';
import type { Telemetry } from '../core/telemetry.ts';
import { type Refusal, rawReply, refusalBody } from './replies.ts';

/** `code` is that of Node's error. */
export function answerBroken(socket: Duplex, code: string, json: boolean, telemetry: Telemetry): void {
  const refusal = brokenStatus(code);
  telemetry.ingestRequests.inc({ signal: 'unknown', code: refusal.status });
  const reply = rawReply(refusal.status, { connection: 'close' }, refusalBody(refusal, json), json);
  socket.end(reply, () => socket.destroy());
}

function brokenStatus(code: string): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, message: 'the headers are over 16 KiB' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, message: 'the request did not come in time' };
    case 'HPE_PAUSED_H2_UPGRADE':
      return {
        status: 400,
        message: `malformed HTTP (${code}): HTTP/2, as of OTLP over gRPC, is not taken; send over HTTP/1.1`,
      };
    default:
      return { status: 400, message: `malformed HTTP (${code})` };
  }
}
