import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockPool } from '../../src/core/block.ts';
import { diskFiles, type Files } from '../../src/journal/files.ts';
import { append, openJournal, readEverything, readRow, seeded, temporaryDirectory } from './frames.ts';

/** A disk that, once told to, writes only some pages of the next write and is silent from then on: a power loss. */
function dyingDisk(random: () => number): { files: Files; die(): Promise<void> } {
  let dying = false;
  let dead = false;
  let gone: () => void = () => undefined;
  const died = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const never = new Promise<never>(() => undefined);
  const writev: Files['writev'] = async (fd, views, position) => {
    if (dead) return never;
    if (!dying) return diskFiles.writev(fd, views, position);
    dead = true;
    const share = random();
    let at = position;
    for (const view of views) {
      for (let page = 0; page < view.length; page += 4096, at += 4096) {
        if (random() < share) await diskFiles.writev(fd, [view.subarray(page, page + 4096)], at);
      }
    }
    gone();
    return never;
  };
  const files: Files = {
    ...diskFiles,
    writev,
    rename: (from, to) => (dead ? never : diskFiles.rename(from, to)),
    unlink: (file) => (dead ? never : diskFiles.unlink(file)),
  };
  const die = () => {
    dying = true;
    return died;
  };
  return { files, die };
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`power losses lose nothing acknowledged and bring nothing back that was gone (seed ${seed})`, async () => {
    const random = seeded(seed);
    const directory = temporaryDirectory();
    const acknowledged = new Set<number>();
    const lost = new Set<number>();
    let id = 0;
    for (let life = 0; life < 25; life++) {
      const pool = BlockPool.create(32 << 20);
      const { files, die } = dyingDisk(random);
      const journal = await openJournal(directory, pool, { files, segmentBytes: 128 << 10, cacheBytes: 0 });
      const seen = new Set((await readEverything(journal, pool)).ids);
      for (const known of acknowledged) assert.ok(seen.has(known), `${known} was acknowledged and is missing`);
      for (let old = 1; old <= id; old++) {
        if (!seen.has(old)) lost.add(old);
        assert.ok(!(seen.has(old) && lost.has(old)), `${old} was gone and came back`);
      }
      const back = await readRow(journal, pool);
      assert.equal(journal.total('raw', 'traces'), back.ids.length + back.damaged);
      const add = () => {
        const items = Array.from({ length: 1 + Math.floor(random() * 4) }, () => ({
          id: ++id,
          bytes: 4 + Math.floor(random() ** 3 * 20_000),
        }));
        return append(journal, pool, items).then(() => {
          for (const item of items) acknowledged.add(item.id);
        });
      };
      for (let group = 0; group < random() * 8; group++) await Promise.all([add(), add()]);
      const died = die();
      for (let i = 0; i < 1 + random() * 5; i++) void add();
      await died;
    }
    assert.ok(lost.size > 0, 'the power losses really happened');
  });
}
