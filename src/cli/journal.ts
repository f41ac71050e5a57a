/** `plumbline journal`: what lies in the journal's directory, who still has to read it, and, with `--verify`, whether every byte is whole. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../config.ts';
import type { CursorRow } from '../core/component.ts';
import { AgentError, messageOf } from '../core/errors.ts';
import { CursorTable } from '../journal/cursors.ts';
import { type Identity, readIdentity } from '../journal/directory.ts';
import { diskFiles } from '../journal/files.ts';
import type { KnownEnd } from '../journal/header.ts';
import { inspectJournal, type JournalReport, type SegmentReport } from '../journal/inspect.ts';
import { CONFIG_OPTIONS, sourceOf } from './configuration.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED } from './exit.ts';

interface Report {
  directory: string;
  identity: Identity | null;
  journals: Record<string, JournalReport>;
  cursors: Record<string, CursorRow>;
}

/** Exit status 1 when `--verify` has found damage. */
export async function journal(args: string[], context: Context): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      ...CONFIG_OPTIONS,
      directory: { type: 'string' },
      verify: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const directory = values.directory ?? loadConfig(await sourceOf(values, context)).config.journal.directory;
  const report = await read(directory, values.verify);
  context.stdout(values.json ? `${JSON.stringify(report, null, 2)}\n` : table(report));
  const isDamaged = Object.values(report.journals).some(({ segments }) => segments.some(damaged));
  return isDamaged ? EXIT_FAILED : 0;
}

async function read(directory: string, verify: boolean): Promise<Report> {
  mustBeReadable(directory);
  const table = await CursorTable.peek(directory);
  const ends = table.value('ends') as Record<string, KnownEnd> | undefined;
  const journals: Record<string, JournalReport> = {};
  for (const name of ['intake', 'derived']) {
    if (existsSync(join(directory, name)))
      journals[name] = await inspectJournal(join(directory, name), ends?.[name], verify);
  }
  const identity = await readIdentity(diskFiles, directory);
  if (identity === null && Object.keys(journals).length === 0) throw noJournal(`${directory} holds no journal`);
  return { directory, identity, journals, cursors: Object.fromEntries(table.rows()) };
}

function mustBeReadable(directory: string): void {
  try {
    readdirSync(directory);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw noJournal(isMissing ? `${directory} does not exist` : `${directory} cannot be read (${messageOf(error)})`);
  }
}

function noJournal(found: string): AgentError {
  const wayOut = "name the journal's directory with --directory DIR, or its agent.yaml with --config";
  return new AgentError('JOURNAL_UNWRITABLE', `${found}: ${wayOut}`);
}

function damaged({ verified }: SegmentReport): boolean {
  return verified !== undefined && (verified.damage.length > 0 || verified.damagedItems > 0);
}

function table({ directory, identity, journals, cursors }: Report): string {
  const lines = [`${directory}: journal ${identity?.journal ?? 'without identity'} of agent ${identity?.agent ?? '?'}`];
  for (const [name, { segments, spares, bytes }] of Object.entries(journals)) {
    lines.push('', `${name}: ${segments.length} segments and ${spares} spares, ${mebibytes(bytes)} on disk`);
    lines.push(...segments.map((segment) => segmentLine(segment)));
  }
  lines.push('', 'cursors:', ...Object.entries(cursors).map(([key, row]) => cursorLine(key, row)));
  return `${lines.join('\n')}\n`;
}

function segmentLine(segment: SegmentReport): string {
  const { number, first, startMs, used, verified } = segment;
  const since = startMs === 0 ? '-' : new Date(startMs).toISOString();
  const line = `  segment ${number}  from sequence ${first}  ${mebibytes(used)}  since ${since}`;
  if (verified === undefined) return line;
  const { records, lastSequence, items, damage, damagedItems } = verified;
  const held = items.map((row) => `${row.items} ${row.stream} ${row.signal}`).join(', ');
  const whole = `  ${records} records to ${lastSequence}${held === '' ? '' : `: ${held}`}`;
  const pieces = damage.map(({ from, to }) => `${from}-${to}`).join(', ');
  const found = damaged(segment) ? `\n    DAMAGED: ${damagedItems} items lost; bytes ${pieces || 'none'}` : '';
  return `${line}${whole}${found}`;
}

function cursorLine(key: string, row: CursorRow): string {
  const { next, delivered, filtered, deadLettered, expired, damaged: lost } = row;
  return `  ${key}  next ${next}  delivered ${delivered}  filtered ${filtered}  dead-lettered ${deadLettered}  expired ${expired}  damaged ${lost}`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
