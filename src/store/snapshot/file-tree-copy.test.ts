import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setTimes } from '../../host/system/inode.ts';
import { setXattr } from '../../host/system/xattr.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { createWorkerPool } from '../content/pool.ts';
import { contentChecksums } from './checksum.ts';
import { openRecordCache } from './checksum-cache.ts';
import { ChangedUnderBuildError } from './checksum-error.ts';
import { contextTree } from './file-tree-context.ts';
import { type CopyOptions, type CopySource, copyFiles, type FileCopy } from './file-tree-copy.ts';
import { directoryTree } from './file-tree-directory.ts';

const { signal } = new AbortController();

/** Copies the regular files of a tree, and makes the directories that they are in. */
async function copyAll(source: CopySource, to: string, options: CopyOptions = {}): Promise<void> {
  const copies: FileCopy[] = [];
  for (const [path, node] of walkTree(source.tree)) {
    if (node.type === 'dir') mkdirSync(`${to}/${path}`);
    if (node.type === 'file') copies.push({ node, to: `${to}/${path}` });
  }
  await copyFiles(source, copies, options, signal);
}

test('copies have content, owner, mode, time and attributes of their originals', {
  skip: process.getuid?.() !== 0 && 'sets owners',
}, async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
  const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
  for (const directory of [from, to]) mkdirSync(directory);
  writeFileSync(join(from, 'a'), 'text');
  lchownSync(join(from, 'a'), 7, 8);
  chmodSync(join(from, 'a'), 0o4751);
  setXattr(join(from, 'a'), 'user.note', Buffer.from('note'));
  setTimes(join(from, 'a'), 0n, 1_600_000_000_123_456_789n);
  writeFileSync(join(from, 'empty'), '');
  const checksums = contentChecksums(directoryTree(from), { view: 'scan' });
  const records = ['a', 'empty'].map(path => checksums.checksum(path));
  await Promise.all(records);
  await copyAll(checksums, to);
  const copied = contentChecksums(directoryTree(to), { view: 'scan' });
  for (const [index, path] of ['a', 'empty'].entries()) assert.equal(await copied.checksum(path), await records[index]);
  assert.equal(lstatSync(join(to, 'a'), { bigint: true }).mtimeNs, 1_600_000_000_123_456_789n);
  const node = checksums.tree.child(checksums.tree.root, 'a');
  assert.ok(node);
  const other = { node, to: join(to, 'b'), mode: 0o600, uid: 1, gid: 2, mtime: 5n, xattrs: new Map() };
  await copyFiles(checksums, [other], {}, signal);
  const { mode, uid, gid, mtimeNs } = lstatSync(join(to, 'b'), { bigint: true });
  assert.deepEqual([mode, uid, gid, mtimeNs], [0o100600n, 1n, 2n, 5n]);
  await assert.rejects(copyFiles(checksums, [other], {}, signal), { code: 'EEXIST' });
});

test('much is copied in threads', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
  await using pool = createWorkerPool(2);
  const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
  mkdirSync(join(from, 'sub'), { recursive: true });
  mkdirSync(to);
  const sizes = Array.from({ length: 2500 }, (_, index) => `${index}`.length * 100);
  for (const index of sizes.keys()) writeFileSync(join(from, 'sub', `file${index}`), `${index}`.repeat(100));
  writeFileSync(join(from, 'large'), Buffer.alloc(40 << 20, 'large'));
  const checksums = contentChecksums(directoryTree(from), { view: 'scan', pool: () => pool });
  const digest = await checksums.checksum('/sub');
  let bytes = 0;
  const advance = (more: number): void => {
    bytes += more;
  };
  await copyAll(checksums, to, { pool: () => pool, advance });
  assert.equal(await contentChecksums(directoryTree(to), { view: 'scan' }).checksum('/sub'), digest);
  assert.ok(readFileSync(join(to, 'large')).equals(readFileSync(join(from, 'large'))));
  const total = sizes.reduce((sum, size) => sum + size, 40 << 20);
  assert.equal(bytes, total);
});

test('a file that changes under the build is an error', async t => {
  const change: Record<string, (path: string) => void> = {
    'content of the same size': path => writeFileSync(path, 'two'),
    'more content': path => writeFileSync(path, 'one and more'),
    'less content': path => writeFileSync(path, ''),
    removed: path => rmSync(path),
    'replaced by a link': path => execFileSync('ln', ['-sfn', '/etc/hostname', path]),
    'replaced by a pipe': path => execFileSync('sh', ['-c', `rm ${path}; mkfifo ${path}`]),
    'replaced by a directory': path => execFileSync('sh', ['-c', `rm ${path}; mkdir ${path}`]),
  };
  for (const [what, edit] of Object.entries(change)) {
    await t.test(what, async () => {
      using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
      const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
      for (const directory of [join(from, 'src'), to]) mkdirSync(directory, { recursive: true });
      const file = join(from, 'src/schema.ts');
      writeFileSync(file, 'one');
      const checksums = contentChecksums(contextTree(from), { view: 'transfer' });
      await checksums.checksum('/');
      edit(file);
      await assert.rejects(copyAll(checksums, to), (error: unknown) => {
        assert.ok(error instanceof ChangedUnderBuildError, String(error));
        assert.equal(error.path, 'src/schema.ts');
        assert.match(error.message, /^src\/schema\.ts changed while it was being read/);
        return true;
      });
    });
  }
});

test('a link is what it was when it was hashed, also where its digest is known', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
  const from = join(scratch.path, 'from');
  mkdirSync(from);
  execFileSync('ln', ['-s', 'one', join(from, 'link')]);
  await setTimeout(40);
  for (let build = 0; build < 2; build++) {
    const tree = contextTree(from);
    const cache = openRecordCache(join(scratch.path, 'cache'), { openedAt: tree.openedAt });
    const checksums = contentChecksums(tree, { view: 'transfer', cache: () => cache });
    await checksums.checksum('/');
    cache.save();
    execFileSync('ln', ['-sfn', build === 0 ? 'one' : 'two', join(from, 'link')]);
    const link = tree.child(tree.root, 'link');
    assert.ok(link);
    assert.equal(tree.readlink(link), 'one');
    await setTimeout(40);
  }
});
