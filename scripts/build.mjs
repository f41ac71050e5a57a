/** Builds dist/, or the folder that is named: empties it, bundles src/ and its libraries into a few files, and makes the command executable. */
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = process.argv[2] ?? join(ROOT, 'dist');
const COMMAND = join(DIST, 'main.js');

rmSync(DIST, { recursive: true, force: true });
await build({
  absWorkingDir: ROOT,
  outdir: DIST,
  // Threads lie beside the parts that start them, as in src/; from parts/ package.json is as far up as from src/core/.
  entryPoints: {
    main: 'src/main.ts',
    'parts/worker': 'src/worker/worker.ts',
    'parts/thread': 'src/sinks/kafka/thread.ts',
  },
  chunkNames: 'parts/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  // V8 keeps the text of what it has loaded. Names stay, and lines are short enough to be found by a stack.
  minifyWhitespace: true,
  lineLimit: 160,
  platform: 'node',
  target: 'node22',
  external: [
    // Native code, and a worker of its own.
    '@node-rs/crc32',
    'piscina',
    // What fastify loads for routes with schemas and for requests without a socket: there are none.
    '@fastify/ajv-compiler',
    '@fastify/fast-json-stringify-compiler',
    'light-my-request',
  ],
  // CommonJS libraries ask for Node's modules with it.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
if (!/^#!\/usr\/bin\/env -S (\w+=\w+ )*node /.test(readFileSync(COMMAND, 'utf8'))) {
  console.error('dist/main.js has lost its first line, with which the shell finds Node and its flags');
  process.exit(1);
}
chmodSync(COMMAND, 0o755);
