/**
 * What the sync costs: `durable` against `written` in alternating slots, requests of 16 KiB, at 64 and 256 connections, with the disk's own
 * fdatasync beside them.
 *
 *   npm run bench:journal -- durability [--rounds 6] [--seconds 6]
 */
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { startNode } from '../child.ts';
import type { Report } from '../load.ts';
import { interval, median } from '../statistics.ts';
import { benchDirectory, LOAD, LOAD_CORE, startSubject } from './subject.ts';

/** 25 spans of W-std are about 16 KiB. */
const BATCH = 25;
const MODES = ['durable', 'written'] as const;
const CONNECTIONS = [64, 256];
/** Least throughput of `durable` beside `written`. */
const LEAST: Record<number, number> = { 64: 0.7, 256: 0.9 };

export async function benchDurability(rounds: number, seconds: number): Promise<boolean> {
  console.log(`fdatasync of 4 KiB on this disk: p50 ${fdatasyncP50().toFixed(2)} ms`);
  let isMet = true;
  for (const connections of CONNECTIONS) {
    const rates: Record<(typeof MODES)[number], number[]> = { durable: [], written: [] };
    for (let round = 0; round < rounds; round++) {
      for (const mode of round % 2 === 0 ? MODES : MODES.toReversed())
        rates[mode].push(await slot(mode, connections, seconds));
    }
    const ratios = rates.durable.map((rate, i) => rate / (rates.written[i] as number));
    const ratio = median(ratios);
    const [low, high] = interval(ratios);
    const [durable, written] = [median(rates.durable), median(rates.written)];
    console.log(
      `${connections} connections: durable ${(durable / 1e3).toFixed(1)} k spans/s, written ${(written / 1e3).toFixed(1)} k; ` +
        `ratio ${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}), at least ${LEAST[connections]}`,
    );
    isMet &&= ratio >= (LEAST[connections] as number);
  }
  return isMet;
}

async function slot(durability: string, connections: number, seconds: number): Promise<number> {
  const { directory, remove } = benchDirectory();
  const subject = await startSubject(directory, { durability, max_size: '4GiB', look_back: '0s' }, null);
  try {
    const load = startNode(LOAD_CORE, [
      LOAD,
      ...['--url', subject.url, '--connections', String(connections), '--batch', String(BATCH)],
      ...['--warmup', '2', '--seconds', String(seconds)],
    ]);
    const [line] = await load.line(/^\{"workload".*/);
    await load.exited;
    // load.ts prints a Report.
    const { measured, seconds: took } = JSON.parse(line) as Report;
    return measured.items / took;
  } finally {
    await subject.child.stop(60_000);
    remove();
  }
}

function fdatasyncP50(): number {
  const { directory, remove } = benchDirectory();
  const file = join(directory, 'probe');
  const fd = openSync(file, 'w');
  const page = Buffer.alloc(4096, 1);
  const times: number[] = [];
  for (let i = 0; i < 200; i++) {
    writeSync(fd, page, 0, page.length, (i % 64) * 4096);
    const began = performance.now();
    fdatasyncSync(fd);
    times.push(performance.now() - began);
  }
  closeSync(fd);
  unlinkSync(file);
  remove();
  return median(times);
}
