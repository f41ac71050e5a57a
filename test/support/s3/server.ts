/** A real S3-compatible server on loopback, versitygw over a folder: starts, stops, starts again with its data; built once by Go. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const BUILD_TIMEOUT_MS = 280_000;
const START_TIMEOUT_MS = 20_000;

export const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'plumbline', AWS_SECRET_ACCESS_KEY: 'only-on-loopback' };

/** Why there can be no server here, or null. Go and its proxy build it at the first time, which takes a minute. */
export function unavailable(): string | null {
  if (existsSync(binary())) return null;
  // The file comes to its place in one step, so that two who build at once do not disturb each other.
  const env = { ...process.env, GOBIN: join(binary(), '..') };
  const { error, status, stderr } = spawnSync('go', ['install', MODULE], { env, timeout: BUILD_TIMEOUT_MS });
  if (status === 0) return null;
  const reason = error?.message ?? stderr.toString().trim().split('\n').at(-1);
  return `a real S3 server needs go and its proxy, to build versitygw: ${reason}`;
}

export interface S3Server {
  url: string;
  bucket: string;
  /** Keys of the bucket, sorted. */
  keys(): string[];
  /** Where the object of a key lies. */
  path(key: string): string;
  /** Ends it at once; the data stays. */
  halt(): Promise<void>;
  restart(): Promise<void>;
  /** Connections stay and nothing answers. */
  freeze(): void;
  thaw(): void;
}

export async function startS3(t: { after(undo: () => Promise<void>): void }): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-s3-'));
  const bucket = 'telemetry';
  await mkdir(join(folder, 'buckets', bucket), { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    child = spawn(binary(), ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', join(folder, 'buckets')], {
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: CREDENTIALS.AWS_ACCESS_KEY_ID,
        ROOT_SECRET_KEY: CREDENTIALS.AWS_SECRET_ACCESS_KEY,
      },
      cwd: folder,
      stdio: 'ignore',
    });
    for (const endMs = Date.now() + START_TIMEOUT_MS; ; await wait(50)) {
      const answers = await fetch(url).then(
        () => true,
        () => false,
      );
      if (answers) return;
      if (Date.now() > endMs) throw new Error(`versitygw does not answer on ${url}`);
    }
  };
  const halt = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  };
  t.after(async () => {
    await halt();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  const path = (key: string) => join(folder, 'buckets', bucket, key);
  return {
    url,
    bucket,
    path,
    keys: () =>
      readdirSync(path(''), { recursive: true, encoding: 'utf8' })
        // Uploads that are not finished lie beside the objects, under a name of the server's own.
        .filter((name) => !name.startsWith('.') && statSync(path(name)).isFile())
        .sort(),
    halt,
    restart: start,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
  };
}

function binary(): string {
  return join(process.env.PLUMBLINE_CACHE ?? join(homedir(), '.cache', 'plumbline'), 'versitygw-1.8.0', 'versitygw');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      // A server that listens on TCP has an address of this kind.
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
