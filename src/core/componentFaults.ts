/** What is wrong between components that are each sound: an order, and names, directories and tasks that only one of them can have. */
import { relative, resolve } from 'node:path';
import { isRecord } from './schema.ts';

const ORDER = ['editor', 'observer', 'selector'];
const WANTED = 'editors come first, then observers, then selectors';

interface PlacedProcessor {
  /** In the list. */
  index: number;
  type: string;
  kind?: 'editor' | 'observer' | 'selector';
  isSingle?: boolean;
}

export function orderFaults(processors: readonly PlacedProcessor[]): { index: number; message: string }[] {
  const faults: { index: number; message: string }[] = [];
  const seen = new Set<string>();
  let last = { rank: 0, type: '' };
  for (const { index, type, kind = 'editor', isSingle = false } of processors) {
    if (isSingle && seen.has(type))
      faults.push({
        index,
        message: `processors[${index}] is a second ${type}, which would do everything twice: leave one`,
      });
    seen.add(type);
    const rank = ORDER.indexOf(kind);
    if (rank >= last.rank) last = { rank, type };
    else faults.push({ index, message: `${type} stands after ${last.type}: ${WANTED}` });
  }
  return faults;
}

interface PlacedSink {
  /** In the list. */
  index: number;
  config: {
    type: string;
    name: string;
    subscribe?: unknown;
    directory?: unknown;
    dead_letter?: unknown;
    s3?: unknown;
  };
}

interface SharedFault {
  index: number;
  key: 'name' | 'directory' | 'dead_letter' | 's3';
  message: string;
}

/** Of each pair the later one is at fault. */
export function sharedFaults(sinks: readonly PlacedSink[]): SharedFault[] {
  return sinks.flatMap((one, i) => sinks.slice(0, i).flatMap((earlier) => faultsOf(one, earlier)));
}

function faultsOf(one: PlacedSink, earlier: PlacedSink): SharedFault[] {
  const { index, config } = one;
  const faults: SharedFault[] = [];
  if (config.name === earlier.config.name) {
    const message = `sinks[${index}] has the name "${config.name}" of sinks[${earlier.index}]: give one of them another \`name\``;
    faults.push({ index, key: 'name', message });
  }
  for (const key of ['directory', 'dead_letter'] as const) {
    const [directory, other] = [config[key], earlier.config[key]];
    if (typeof directory !== 'string' || typeof other !== 'string' || directory === '' || other === '') continue;
    if (!holds(directory, other) && !holds(other, directory)) continue;
    const message = `${key} of sinks[${index}] and of sinks[${earlier.index}] are one, or one lies in the other: each would overwrite or delete the other's files; give one of them another \`${key}\``;
    faults.push({ index, key, message });
  }
  const shared = placeOf(config.s3) === placeOf(earlier.config.s3) && sharedStream(config, earlier.config);
  if (isRecord(config.s3) && shared) {
    const message = `s3 of sinks[${index}] and of sinks[${earlier.index}] lead to one place, and both take ${shared}: everything would lie there twice; give one of them another \`prefix\``;
    faults.push({ index, key: 's3', message });
  }
  return faults;
}

/** What keys of a bucket begin with; the stream comes next. */
function placeOf(s3: unknown): string {
  const { endpoint, bucket, prefix } = isRecord(s3) ? s3 : {};
  return [endpoint, bucket, prefix].map((part) => String(part).replace(/^\/+|\/+$/g, '')).join(' ');
}

function sharedStream({ subscribe }: PlacedSink['config'], { subscribe: other }: PlacedSink['config']): unknown {
  return Array.isArray(subscribe) && Array.isArray(other) ? subscribe.find((one) => other.includes(one)) : undefined;
}

function holds(outer: string, inner: string): boolean {
  const way = relative(resolve(outer), resolve(inner));
  return way === '' || !(way === '..' || way.startsWith('../'));
}
