/** Which functions of a bench allocate: V8's sampling heap profiler, with what has been collected since. */
import { type HeapProfiler, Session } from 'node:inspector/promises';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench } from './harness.ts';

const SAMPLE_BYTES = 256;
const ITEMS = 400_000;
const SHOWN = 8;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Lines of `bytes an item, function, file:line`, the worst first. The line is where the function begins; inlined ones keep their name. */
export async function findAllocations(bench: Bench): Promise<string[]> {
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.enable');
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: SAMPLE_BYTES,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  const runs = Math.ceil(ITEMS / bench.items);
  for (let i = 0; i < runs; i++) bench.run();
  const { profile } = await session.post('HeapProfiler.stopSampling');
  session.disconnect();
  const bytes = new Map<string, number>();
  add(profile.head, bytes);
  return [...bytes]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([place, sum]) => `      ${(sum / (runs * bench.items)).toFixed(2).padStart(8)} B  ${place}`);
}

function add(
  { callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode,
  bytes: Map<string, number>,
): void {
  const { functionName, url, lineNumber } = callFrame;
  const file = url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url;
  const place = `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`;
  if (selfSize > 0) bytes.set(place, (bytes.get(place) ?? 0) + selfSize);
  for (const child of children) add(child, bytes);
}
