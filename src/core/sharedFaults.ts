/** What is wrong between sinks that are each sound: names and directories that only one of them can have. */
import { relative, resolve } from 'node:path';

interface PlacedSink {
  /** In the list. */
  index: number;
  config: { type: string; name: string; directory?: unknown; dead_letter?: unknown };
}

export interface SharedFault {
  index: number;
  key: 'name' | 'directory' | 'dead_letter';
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
  return faults;
}

function holds(outer: string, inner: string): boolean {
  const way = relative(resolve(outer), resolve(inner));
  return way === '' || !(way === '..' || way.startsWith('../'));
}
