/** What is known of one segment file of a journal. */
import path from 'node:path';
import type { Signal, Stream } from '../core/block.ts';
import type { Tally } from './header.ts';
import type { Waypoint } from './waypoints.ts';

export interface Segment {
  number: number;
  file: string;
  /** Size of the file, bytes. */
  capacity: number;
  /** Bytes that are durable and readable, header page included; 0 until the first group is. */
  used: number;
  /** The first sequence it may hold. */
  first: number;
  /** No record in it has a lower epoch. */
  epoch: number;
  /** Receive time of its first record, Unix milliseconds. */
  startMs: number;
  /** Totals before its first record. */
  start: Tally;
  /** Of what this process wrote: about one a MiB, ascending. */
  waypoints: Waypoint[];
  /** Reads in flight: it is not recycled under them. */
  readers: number;
  /** A write or sync of it failed: nothing is written to the file again, not even after recycling. */
  failed: boolean;
  /** It is no part of the journal any more. */
  gone: boolean;
}

export interface Spare {
  number: number;
  capacity: number;
}

/** What a start has found. */
export interface FoundSegments {
  segments: Segment[];
  spares: Spare[];
  /** No file ever had a higher number than this one and those found. */
  leastNumber: number;
}

/** A segment as those see it who decide what to keep. */
export interface SegmentSpan {
  /** The first sequence it may hold; the next one's is where it ends. */
  first: number;
  /** Receive time of its first record, Unix milliseconds. */
  startMs: number;
  /** Items of the row before its first record. */
  total(stream: Stream, signal: Signal): number;
}

export function segmentFile(directory: string, number: number): string {
  return path.join(directory, `${String(number).padStart(16, '0')}.seg`);
}
