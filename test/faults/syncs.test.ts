/** The disk fails one sync, each of the first 200 in turn: whoever was answered yes has data that a power loss leaves, and whoever was not knows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../src/core/errors.ts';
import { append, BlockPool, openJournal, readRow, seeded } from '../journal/frames.ts';
import { type DiskFault, MemoryDisk } from './disk.ts';

const SYNCS = 200;
const ROOT = '/journal';
const SIZES = { segmentBytes: 64 << 10, maxBytes: 8 << 20, cacheBytes: 0 } as const;
/** Grouped: each of these is one sync. */
const BYTES = 3000;

/** What says that a group is durable: with O_DIRECT the write itself, else the sync behind it. */
const MODES: { name: string; refusesDirect: boolean; operation: DiskFault['operation'] }[] = [
  { name: 'O_DIRECT', refusesDirect: false, operation: 'writev' },
  { name: 'buffered', refusesDirect: true, operation: 'fdatasync' },
];

for (const { name, refusesDirect, operation } of MODES) {
  test(`no yes over an error at any of the first ${SYNCS} syncs, ${name}`, async (t) => {
    const pool = BlockPool.create(8 << 20);
    let acknowledgedInAll = 0;
    for (let failing = 0; failing < SYNCS; failing++) {
      pool.reclaim(1);
      const disk = new MemoryDisk(seeded(failing));
      disk.refusesDirect = refusesDirect;
      const files = disk.files();
      const journal = await openJournal(ROOT, pool, { ...SIZES, files });
      disk.faults.push({ operation, errno: 'EIO', after: failing });
      const acknowledged: number[] = [];
      let refused = 0;
      for (let id = 1; disk.faultsSeen === 0 || id % 4 !== 0; id++) {
        assert.ok(id < SYNCS * 2, `the sync number ${failing} never came`);
        try {
          await append(journal, pool, [{ id, bytes: BYTES }]);
          acknowledged.push(id);
        } catch (error) {
          assert.ok(error instanceof AgentError && error.retryable, `refused with ${error}`);
          refused++;
        }
      }
      // A sync that is nobody's answer, of a new segment for example, may be tried again without a no.
      assert.ok(refused <= 1, `${refused} refusals for one failed sync`);
      acknowledgedInAll += acknowledged.length;
      disk.restart('power');
      pool.reclaim(1);
      const again = await openJournal(ROOT, pool, { ...SIZES, files: disk.files() });
      const found = new Set((await readRow(again, pool, 0, 64 << 10)).ids);
      assert.deepEqual(
        acknowledged.filter((id) => !found.has(id)),
        [],
        `sync ${failing} failed`,
      );
      await again.close();
    }
    t.diagnostic(`${SYNCS} failed syncs, ${acknowledgedInAll} acknowledged, all there after a power loss`);
  });
}
