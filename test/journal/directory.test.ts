import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { loadCheckpoint, saveCheckpoint } from '../../src/journal/checkpoint.ts';
import { CursorTable } from '../../src/journal/cursors.ts';
import { openDirectory } from '../../src/journal/directory.ts';
import { diskFiles, type Files } from '../../src/journal/files.ts';
import { append, BlockPool, filesWith, openJournal, temporaryDirectory } from './frames.ts';

const DEEP = 'a-directory-whose-name-is-long/'.repeat(5);

for (const below of ['', DEEP]) {
  const kind = below === '' ? 'short' : 'long';
  test(`a second agent is refused, told where and what to do (${kind} path)`, async () => {
    const where = path.join(temporaryDirectory(), below);
    const first = await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 });
    await assert.rejects(openDirectory({ path: where, agent: 'two', lockWaitMs: 0 }), (error: Error) => {
      assert.equal((error as Error & { code: string }).code, 'JOURNAL_LOCKED');
      assert.ok(error.message.includes(where) && error.message.includes('journal.directory'));
      return true;
    });
    await first.close();
    const second = await openDirectory({ path: where, agent: 'two', lockWaitMs: 0 });
    await second.close();
  });

  test(`the lock of a dead agent is taken over (${kind} path)`, async () => {
    const where = path.join(temporaryDirectory(), below);
    fs.mkdirSync(where, { recursive: true });
    const child = `
      const { openDirectory } = await import(${JSON.stringify(path.resolve('src/journal/directory.ts'))});
      await openDirectory({ path: ${JSON.stringify(where)}, agent: 'one', lockWaitMs: 0 });
      process.kill(process.pid, 'SIGKILL');`;
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', child]);
    assert.equal(signal, 'SIGKILL');
    assert.ok(fs.existsSync(path.join(where, 'lock')), 'the dead agent left its socket');
    const next = await openDirectory({ path: where, agent: 'two', lockWaitMs: 0 });
    assert.equal(next.identity.agent, 'one');
    await next.close();
  });
}

test('whoever waits for the lock gets it as soon as its owner ends', async () => {
  const where = temporaryDirectory();
  const first = await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 });
  const waiting = openDirectory({ path: where, agent: 'two', lockWaitMs: 30_000 });
  await first.close();
  await (await waiting).close();
});

test('whoever has to wait for the lock is told so at once, and nobody else', async () => {
  const where = temporaryDirectory();
  const told: number[] = [];
  const onWait = Promise.withResolvers<number>();
  const first = await openDirectory({ path: where, agent: 'one', onWait: (ms) => told.push(ms) });
  const waiting = openDirectory({ path: where, agent: 'two', lockWaitMs: 30_000, onWait: onWait.resolve });
  assert.equal(await onWait.promise, 30_000);
  await first.close();
  await (await waiting).close();
  assert.deepEqual(told, []);
});

test('of many that start over a stale lock exactly one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    const where = temporaryDirectory();
    fs.writeFileSync(path.join(where, 'lock'), '');
    const starts = Array.from({ length: 8 }, () => openDirectory({ path: where, agent: 'x', lockWaitMs: 0 }));
    const settled = await Promise.allSettled(starts);
    const winners = settled.filter((result) => result.status === 'fulfilled');
    assert.equal(winners.length, 1);
    for (const { value } of winners) await value.close();
  }
});

test('the identity of a directory never changes', async () => {
  const where = temporaryDirectory();
  const first = await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 });
  await first.close();
  assert.match(first.identity.journal, /^[0-9a-f]{8}$/);
  const second = await openDirectory({ path: where, agent: 'renamed', lockWaitMs: 0 });
  await second.close();
  assert.deepEqual(second.identity, first.identity);
});

test('the same host name with a new directory is another agent: no key, file or object name comes twice', async () => {
  const open = async () => {
    const one = await openDirectory({ path: temporaryDirectory(), agent: 'host', lockWaitMs: 0 });
    await one.close();
    return one.identity.journal;
  };
  assert.notEqual(await open(), await open());
});

test('an identity damaged in both copies is an error, not a new identity', async () => {
  const where = temporaryDirectory();
  fs.writeFileSync(path.join(where, 'identity'), '{"journal":"12');
  fs.writeFileSync(path.join(where, 'identity.copy'), '{"journal":"00000000","agent":"one","crc":1}');
  await assert.rejects(openDirectory({ path: where, agent: 'one', lockWaitMs: 0 }), {
    code: 'JOURNAL_UNWRITABLE',
    message: /identity is damaged: restore it/,
  });
  // The lock is free again.
  for (const name of ['identity', 'identity.copy']) fs.rmSync(path.join(where, name));
  await (await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 })).close();
});

test('a copy that the disk cannot read costs nothing as long as the other is whole, of the identity and of a checkpoint', async () => {
  const where = temporaryDirectory();
  const first = await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 });
  await first.close();
  await saveCheckpoint(where, 'checkpoint', Buffer.from('state'));
  for (const bad of ['', '.copy']) {
    const files = filesWithBad((file) => file.endsWith(`identity${bad}`) || file.endsWith(`checkpoint${bad}`));
    const again = await openDirectory({ path: where, agent: 'one', lockWaitMs: 0, files });
    await again.close();
    assert.deepEqual(again.identity, first.identity);
    const found = await loadCheckpoint(where, 'checkpoint', files);
    assert.deepEqual(found.kind === 'found' ? found.bytes.toString() : found, 'state');
  }
  const none = filesWithBad((file) => /identity|checkpoint/.test(file));
  assert.equal((await loadCheckpoint(where, 'checkpoint', none)).kind, 'damaged');
  await assert.rejects(openDirectory({ path: where, agent: 'one', lockWaitMs: 0, files: none }), {
    code: 'JOURNAL_UNWRITABLE',
    message: /identity is damaged: restore it/,
  });
});

for (const name of ['identity', 'cursors', 'checkpoint', 'intake/epoch'])
  test(`a file that cannot be read ends the start in words that name it, with the way out (${name})`, async () => {
    const where = temporaryDirectory();
    const file = path.join(where, name);
    const open = async () => {
      await (await openDirectory({ path: where, agent: 'one', lockWaitMs: 0 })).close();
      await CursorTable.open(where);
      await loadCheckpoint(where, 'checkpoint');
      await (await openJournal(where, BlockPool.create(32 << 20), {})).close();
    };
    fs.mkdirSync(file, { recursive: true });
    await assert.rejects(open(), (error: Error) => {
      assert.equal((error as Error & { code: string }).code, 'JOURNAL_UNWRITABLE');
      assert.ok(error.message.includes(`${file} cannot be read: EISDIR`), error.message);
      assert.match(error.message, /mend .* or move it away/);
      return true;
    });
    fs.rmdirSync(file);
    await open();
  });

test('a disk on which a start cannot make safe what it found ends it in words that name the place', async () => {
  const where = temporaryDirectory();
  const pool = BlockPool.create(32 << 20);
  const table = await CursorTable.open(where);
  table.setValue('a', 1);
  await table.save();
  const journal = await openJournal(where, pool);
  await append(journal, pool, [{ id: 1, bytes: 100 }]);
  await journal.close();
  for (const name of ['cursors', 'intake/0000000000000001.seg', 'intake/epoch.tmp']) {
    const place = path.join(where, name);
    const files = filesWith({
      open: (file, flags) =>
        file === place && (flags & fs.constants.O_WRONLY) !== 0
          ? Promise.reject(Object.assign(new Error(`EIO: i/o error, open '${file}'`), { code: 'EIO' }))
          : diskFiles.open(file, flags),
    });
    const open = async () => {
      await CursorTable.open(where, files);
      await (await openJournal(where, pool, { files })).close();
    };
    await assert.rejects(open(), { code: 'JOURNAL_UNWRITABLE', message: new RegExp(`${place}.*journal.directory`) });
  }
});

/** Bad sectors in these. */
function filesWithBad(isBad: (file: string) => boolean): Files {
  const bad = new Set<number>();
  return {
    ...diskFiles,
    async open(file, flags) {
      const fd = await diskFiles.open(file, flags);
      if (isBad(file)) bad.add(fd);
      return fd;
    },
    close(fd) {
      bad.delete(fd);
      return diskFiles.close(fd);
    },
    read: (fd, view, position) =>
      bad.has(fd)
        ? Promise.reject(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }))
        : diskFiles.read(fd, view, position),
  };
}

test('a directory that cannot be made is named, with the reason and the way out', async () => {
  const file = path.join(temporaryDirectory(), 'file');
  fs.writeFileSync(file, '');
  await assert.rejects(openDirectory({ path: path.join(file, 'below'), agent: 'one' }), {
    code: 'JOURNAL_UNWRITABLE',
    message: /below.*ENOTDIR.*journal\.directory/,
  });
});
