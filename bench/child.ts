/** Child processes of a bench: pinned to a core, watched for a line, their CPU time and memory read from /proc. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** Clock ticks a second in /proc, on every Linux that Node runs on. */
const TICKS_PER_S = 100;

export interface Child {
  pid: number;
  /** Lines of its stdout, oldest first. */
  lines: string[];
  /** The first line, past or to come, that the pattern matches; rejects when the child ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  say(line: string): void;
  /** Asks it to end and waits for that; kills it after `withinMs`. */
  stop(withinMs: number): Promise<number | null>;
  exited: Promise<number | null>;
}

export const CAN_PIN = spawnSync('taskset', ['--version']).error === undefined;

/** Starts node on a core (null: any). What it writes to stderr is kept for the error message and shown when it fails. */
export function startNode(core: number | null, args: readonly string[], env = process.env): Child {
  const name = args.find((arg) => arg.endsWith('.ts') || arg.endsWith('.js')) ?? 'node';
  return startProcess(core, [process.execPath, ...args], name, env);
}

/** Starts any program likewise. */
export function startProcess(core: number | null, command: readonly string[], name: string, env = process.env): Child {
  const pinned = core === null || !CAN_PIN ? command : ['taskset', '-c', String(core), ...command];
  const [file = '', ...rest] = pinned;
  const child = spawn(file, rest, { stdio: ['pipe', 'pipe', 'pipe'], env });
  return watch(child, name);
}

function watch(child: ChildProcess, name: string): Child {
  const lines: string[] = [];
  let errors = '';
  const waiting = new Set<() => void>();
  const look = () => {
    for (const check of waiting) check();
  };
  if (child.stdout === null || child.stderr === null || child.stdin === null) throw new Error(`${name} has no pipes`);
  createInterface({ input: child.stdout }).on('line', (text) => {
    lines.push(text);
    look();
  });
  child.stderr.on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  child.stdin.on('error', () => undefined);
  const { stdin } = child;
  let code: number | null | undefined;
  const exited = new Promise<number | null>((resolve) => {
    // `close` comes after the last line, `exit` may come before it.
    child.on('close', (status) => {
      code = status;
      if (status !== 0 && errors !== '') process.stderr.write(`${name} ended with ${status}:\n${errors}\n`);
      resolve(status);
      look();
    });
    child.on('error', (error) => {
      errors += error.message;
    });
  });
  return {
    pid: child.pid ?? -1,
    lines,
    exited,
    say: (text) => void stdin.write(`${text}\n`),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = lines.map((text) => pattern.exec(text)).find((match) => match !== null);
          if (found === undefined && code === undefined) return;
          waiting.delete(check);
          if (found) resolve(found);
          else reject(new Error(`${name} ended with ${code} before it said ${pattern}: ${errors}`));
        };
        waiting.add(check);
        check();
      }),
    async stop(withinMs) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
      const status = await exited;
      clearTimeout(timer);
      return status;
    },
  };
}

interface Stat {
  parent: number;
  /** User and system seconds of all its threads, and of its children that have ended. */
  cpuS: number;
}

function readStat(pid: number | 'self'): (Stat & { childrenS: number }) | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything; behind it the fields count from 3.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = (field: number) => Number(fields[field - 3]);
    const childrenS = (ticks(16) + ticks(17)) / TICKS_PER_S;
    return { parent: ticks(4), cpuS: (ticks(14) + ticks(15)) / TICKS_PER_S + childrenS, childrenS };
  } catch {
    return null;
  }
}

/** CPU seconds of a process, its threads and its descendants so far. */
export function cpuSecondsOf(pid: number): number {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : null;
    if (stat !== null) stats.set(Number(name), stat);
  }
  const sum = (root: number): number => {
    let seconds = stats.get(root)?.cpuS ?? 0;
    for (const [child, { parent }] of stats) if (parent === root) seconds += sum(child);
    return seconds;
  };
  return sum(pid);
}

/** CPU seconds of all our children that have ended; the growth over one's end is what it took in its whole life. */
export function cpuSecondsOfEnded(): number {
  return readStat('self')?.childrenS ?? 0;
}

/** Most memory a process ever held, bytes. */
export function peakRssBytes(pid: number): number {
  const kib = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kib ?? 0) * 1024;
}

export function rssBytes(pid: number): number {
  const kib = /VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kib ?? 0) * 1024;
}
