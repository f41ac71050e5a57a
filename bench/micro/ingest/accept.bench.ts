/** Accepting a request: what it claims to be. Reading a body is I/O; bench/main.ts has its cost. */
import { readClaim } from '../../../src/ingest/accept.ts';
import type { Bench } from '../harness.ts';

const TIMES = 1000;

export function benches(): Bench[] {
  const claiming = (name: string, type: string, encoding: string | undefined): Bench => ({
    name: `ingest/accept: readClaim, ${name}`,
    unit: 'request',
    items: TIMES,
    run() {
      for (let i = 0; i < TIMES; i++) readClaim(type, encoding);
    },
  });
  return [
    claiming('protobuf', 'application/x-protobuf', undefined),
    claiming('protobuf, gzip', 'application/x-protobuf', 'gzip'),
    claiming('JSON with charset', 'application/json; charset=utf-8', undefined),
  ];
}
