/** Reading the head of a request at the fast front, as two SDKs write it. */
import { createReadHead } from '../../../src/ingest/head.ts';
import type { Bench } from '../harness.ts';

const TIMES = 1000;
const PATHS = { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' };

export function benches(): Bench[] {
  const read = createReadHead(PATHS);
  const reading = (name: string, lines: string[], isAgain = false): Bench => {
    const bytes = Buffer.from(['POST /v1/traces HTTP/1.1', ...lines, '', ''].join('\r\n'));
    const last = isAgain ? read(bytes, bytes.length, null) : null;
    return {
      name: `ingest/head: ${name}`,
      unit: 'request',
      items: TIMES,
      run() {
        for (let i = 0; i < TIMES; i++) if (read(bytes, bytes.length, last) === null) throw new Error('it is no head');
      },
    };
  };
  const type = 'Content-Type: application/x-protobuf';
  const four = ['Host: 127.0.0.1:4318', type, 'Content-Encoding: gzip', 'Content-Length: 12345'];
  return [
    reading('four headers', four),
    reading('four headers, again', four, true),
    reading('eight headers', [
      'Host: agent.example:4318',
      'User-Agent: OTel-OTLP-Exporter-JavaScript/0.223.0',
      'Accept-Encoding: gzip',
      'Authorization: Bearer 6fYd0kq3tBw9',
      type,
      'Content-Encoding: gzip',
      'Content-Length: 12345',
      'Connection: keep-alive',
    ]),
  ];
}
