/** Fetches the broker's jars from Maven Central once into a cache folder, whoever asks first. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const POM = fileURLToPath(new URL('./pom.xml', import.meta.url));
const FETCH_TIMEOUT_MS = 240_000;

/** Why there can be no broker here, or null. With CI=true that is never a reason to skip: the tests fail instead. */
export function unavailable(): string | null {
  if (process.env.CI === 'true') return null;
  for (const command of existsSync(join(cacheFolder(), 'libs')) ? ['java'] : ['java', 'mvn']) {
    if (spawnSync(command, ['-version']).error !== undefined) return `a real Kafka broker needs ${command}`;
  }
  return null;
}

/** The folder with the jars. */
export async function fetchJars(): Promise<string> {
  const folder = cacheFolder();
  const libs = join(folder, 'libs');
  const lock = join(folder, 'lock');
  await mkdir(folder, { recursive: true });
  while (!existsSync(libs)) {
    if (!(await take(lock))) {
      await wait(500);
      continue;
    }
    try {
      const partial = join(folder, `libs.${process.pid}`);
      // The goal names its plugin's version, as the pom does: a prefix alone would resolve to the newest.
      const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
      const args = ['-q', '-B', '-f', POM, goal, '-DincludeScope=runtime', `-DoutputDirectory=${partial}`];
      await promisify(execFile)('mvn', args, { timeout: FETCH_TIMEOUT_MS });
      if (!existsSync(libs)) await rename(partial, libs);
    } finally {
      await rm(lock, { recursive: true, force: true });
    }
  }
  return libs;
}

function cacheFolder(): string {
  const base = process.env.PLUMBLINE_CACHE ?? join(homedir(), '.cache', 'plumbline');
  return join(base, 'kafka-4.4.0');
}

/** Making a directory succeeds for one alone. A lock as old as the longest fetch belongs to nobody any more. */
async function take(lock: string): Promise<boolean> {
  try {
    await mkdir(lock);
    return true;
  } catch {
    // Taken, and perhaps given back since: the caller looks again.
    const held = await stat(lock).catch(() => null);
    if (held !== null && Date.now() - held.mtimeMs > FETCH_TIMEOUT_MS) await rm(lock, { recursive: true, force: true });
    return false;
  }
}
