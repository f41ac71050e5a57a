/**
 * Makes `npm start` and `npm test` work as the first command of a fresh clone: installs from the lockfile when node_modules is missing
 * or stale. Plain JavaScript without dependencies, because it runs before anything is installed, on whatever Node (>= 20) started npm.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MODULES = join(ROOT, 'node_modules');
const STAMP = join(MODULES, '.plumbline-lockfile');
const INSTALL = ['ci', '--no-fund', '--no-audit', '--loglevel=error'];
/** The first Node that runs TypeScript unbuilt; package.json says the same under `engines`. */
const LEAST_NODE = [22, 18];

ensureInstalled();

function ensureInstalled() {
  const wanted = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
  if (readStamp() !== wanted && !isAsLocked()) {
    console.error(`plumbline: installing dependencies (npm ${INSTALL.join(' ')})`);
    if (run('npm', INSTALL, ROOT) !== 0)
      fail('`npm ci` failed: see its message above, then run the same command again');
  }
  // With `ignore-scripts` set npm leaves out the script that fetches the binary, and then the link to it.
  if (pinnedNode() === undefined) run('npm', ['rebuild', 'node', '--ignore-scripts=false', '--loglevel=error'], ROOT);
  const found = pinnedNode();
  if (found === undefined) {
    fail(
      'node_modules/.bin/node is missing: the install script of the package `node` has to fetch it: run `npm rebuild node`',
    );
  }
  if (!isRecent(found))
    fail(`node_modules/.bin/node is ${found}, ${LEAST_NODE.join('.')} or later is needed: run \`npm ci\``);
  // Last, so that an install that was interrupted counts as none.
  if (readStamp() !== wanted) writeFileSync(STAMP, wanted);
}

function readStamp() {
  return existsSync(STAMP) ? readFileSync(STAMP, 'utf8') : undefined;
}

/** Somebody has run `npm ci`: what npm says it has put there is what the lockfile wants, but for what this platform leaves out. */
function isAsLocked() {
  const installed = join(MODULES, '.package-lock.json');
  if (!existsSync(installed)) return false;
  const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  const found = packagesOf(installed);
  return Object.entries(packagesOf(join(ROOT, 'package-lock.json'))).every(
    ([path, { version, optional }]) => path === '' || optional === true || found[path]?.version === version,
  );
}

/** Version of the Node that npm scripts will use, such as `v24.21.0`. */
function pinnedNode() {
  const result = spawnSync(join(MODULES, '.bin', 'node'), ['--version'], { encoding: 'utf8', shell: sep === '\\' });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

function isRecent(version) {
  const [major, minor] = version.slice(1).split('.').map(Number);
  return major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1]);
}

/** Runs a command with its output on stderr, so that `npm run --silent ... > file` stays clean. Returns its exit status. */
function run(command, args, cwd) {
  // npm must not run on the very Node that it is about to delete.
  const PATH = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(MODULES))
    .join(delimiter);
  return spawnSync(command, args, { cwd, env: { ...process.env, PATH }, stdio: ['ignore', 2, 2], shell: sep === '\\' })
    .status;
}

function fail(message) {
  console.error(`plumbline: ${message}`);
  process.exit(1);
}
