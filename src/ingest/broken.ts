/** Answers what is no request: malformed, too slow, too long. The connection ends with it. */
import type { Duplex } from 'node:stream';
import type { Telemetry } from '../core/telemetry.ts';
import { rawRefusal } from './replies.ts';

/** `code` is that of Node's error. */
export function answerBroken(socket: Duplex, code: string, json: boolean, telemetry: Telemetry): void {
  const { status, message } = brokenStatus(code);
  telemetry.ingestRequests.inc({ signal: 'unknown', code: status });
  socket.end(rawRefusal({ status, message }, json), () => socket.destroy());
}

function brokenStatus(code: string): { status: number; message: string } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, message: 'the headers are over 16 KiB' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, message: 'the request did not come in time' };
    default:
      return { status: 400, message: `malformed HTTP (${code})` };
  }
}
