/** JSON requests to protobuf: W-std and W-mixed as SDKs write them. 1,000 ns a KB is 1 GB a CPU-second, 10,000 the goal of 100 MB. */
import { toOtlpJson } from '../../../src/otlp/json.ts';
import { JsonRequests } from '../../../src/otlp/jsonRequest.ts';
import { createPayloads } from '../../payloads.ts';
import type { Bench } from '../harness.ts';

export function benches(): Bench[] {
  return (['W-std', 'W-mixed'] as const).map((workload) => {
    const requests = new JsonRequests(64 << 20);
    const bodies = createPayloads({ workload, seed: 7, count: 10 }).map(({ signal, bytes }) => ({
      signal,
      json: Buffer.from(toOtlpJson(signal, bytes)),
    }));
    const total = bodies.reduce((sum, { json }) => sum + json.length, 0);
    return {
      name: `otlp/json: convert, ${workload}`,
      unit: 'KB',
      items: total / 1000,
      mostHeapBytes: 8,
      run() {
        for (const { signal, json } of bodies) requests.convert(signal, json);
      },
    };
  });
}
