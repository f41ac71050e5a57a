/** State as it is after a restart. */
import { deserialize, serialize } from 'node:v8';

/** Through the form in which the checkpoint is written. */
export function afterRestart<T>(state: T): T {
  return deserialize(serialize(state)) as T;
}
