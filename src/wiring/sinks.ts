/** Builds a delivery for every sink, each row at its own cursor. */
import { UNIT_BYTES } from '../core/block.ts';
import type { CursorRow, Row } from '../core/component.ts';
import { AgentError } from '../core/errors.ts';
import { createDelivery, type Delivery, SIGNALS_OF } from '../sinks/deliver.ts';
import { passedOf } from '../sinks/progress.ts';
import { sinks } from '../sinks/registry.ts';
import { deliveryOf } from '../sinks/sink.ts';
import { FilteredSource } from '../worker/filteredSource.ts';
import type { WorkerPool } from '../worker/pool.ts';
import type { Ground } from './ground.ts';
import type { Store } from './store.ts';
import { configuredProcessors } from './streams.ts';

/** Of the blocks that batches of all sinks may keep; full speed takes less. */
const BLOCK_SHARE = 0.25;

export interface Running {
  name: string;
  delivery: Delivery;
  rows: { row: Row; cursor: CursorRow }[];
  /** Journal bytes kept for it alone; Infinity for no limit. */
  maxLagBytes: number;
}

export function createDeliveries(ground: Ground, store: Store, workers: WorkerPool): Running[] {
  const { config, pool, log, telemetry, now } = ground;
  const { intake, derived, memory } = store;
  const raw = new FilteredSource({
    source: intake,
    blocks: pool,
    workers,
    isFiltering: () =>
      configuredProcessors(ground.config).some(({ definition, config }) =>
        definition.streams?.(config).includes('raw'),
      ),
    onPoison(message) {
      log.error(`no worker survives a frame of the journal, sinks of raw get it unfiltered: ${message}`);
    },
  });
  const deliveries = config.sinks.map((sink, index) => {
    const definition = sinks.find(({ type }) => type === sink.type);
    if (definition === undefined) throw new AgentError('CONFIG_INVALID', `no sink of type ${sink.type}`);
    const settings = deliveryOf(sink, `${config.agent.data_dir}/dead_letter/${sink.name}`);
    const rows = settings.streams.flatMap((stream) => SIGNALS_OF[stream].map((signal) => ({ stream, signal })));
    const cursors = new Map(rows.map((row) => [rowKey(sink.name, row), memory.cursor(rowKey(sink.name, row), row)]));
    const delivery = createDelivery({
      ...settings,
      definition,
      directory: `${config.agent.data_dir}/sinks/${sink.name}`,
      name: sink.name,
      agent: store.agent,
      config: sink,
      pool,
      mostBlockBytes: (pool.units * UNIT_BYTES * BLOCK_SHARE) / config.sinks.length,
      source: (stream) => (stream === 'raw' ? raw : derived),
      changed: ({ stream, signal }, items) => memory.lose({ cause: 'damaged', sink: sink.name, stream, signal, items }),
      lettersDeleted: (said) => memory.lose({ cause: 'dead_letter_retain', ...said }),
      cursor: (row) => cursors.get(rowKey(sink.name, row)) as CursorRow,
      encode: async (frames, stream, signal) => {
        const result = await workers.run({ kind: 'encode', sink: index, frames, stream, signal });
        const release = () => {
          for (const block of result.blocks) pool.release(block);
        };
        return { parts: result.parts, release };
      },
      telemetry,
      log: log.child({ sink: sink.name }),
      now,
    });
    return {
      name: sink.name,
      delivery,
      maxLagBytes: settings.maxLagBytes,
      rows: rows.map((row) => ({ row, cursor: cursors.get(rowKey(sink.name, row)) as CursorRow })),
    };
  });
  const keys = deliveries.flatMap(({ name, rows }) => rows.map(({ row }) => rowKey(name, row)));
  for (const [key, cursor] of memory.forgetOthers(new Set(keys))) {
    log.warn(`${key} is configured no longer: its cursor is gone`);
    const { sink, row } = parseRowKey(key);
    const items = (row.stream === 'raw' ? intake : derived).total(row.stream, row.signal) - passedOf(cursor);
    memory.lose({ cause: 'sink_removed', sink, ...row, items });
  }
  return deliveries;
}

function parseRowKey(key: string): { sink: string; row: Row } {
  const [, sink, stream, signal] = /^(.*)\/(\w+)\/(\w+)$/.exec(key) ?? [];
  // Made by rowKey.
  return { sink: sink as string, row: { stream, signal } as Row };
}

function rowKey(sink: string, { stream, signal }: Row): string {
  return `${sink}/${stream}/${signal}`;
}
