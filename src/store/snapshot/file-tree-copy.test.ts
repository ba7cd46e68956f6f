import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { makeVectorTree, type VectorTree } from '../../../test/support/vector-tree.ts';
import { createWorkerPool } from '../content/pool.ts';
import { type ContentChecksums, contentChecksums } from './checksum.ts';
import { openRecordCache } from './checksum-cache.ts';
import { ChangedUnderBuildError } from './checksum-error.ts';
import { contextTree } from './file-tree-context.ts';
import { copyTree } from './file-tree-copy.ts';
import { directoryTree } from './file-tree-directory.ts';

const VECTORS = join(import.meta.dirname, '../../../test/vectors/checksum');
const { signal } = new AbortController();

function scan(path: string): ContentChecksums {
  return contentChecksums(directoryTree(path), { view: 'scan' });
}

test('a copy has the content checksum of its original', {
  skip: process.getuid?.() !== 0 && 'makes devices',
}, async t => {
  const files = globSync(join(VECTORS, '*.json'));
  for (const file of files) {
    const vector: VectorTree & { name: string } = JSON.parse(readFileSync(file, 'utf8'));
    using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
    const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
    for (const directory of [from, to]) mkdirSync(directory);
    makeVectorTree(from, vector);
    const checksums = scan(from);
    const digest = await checksums.checksum('/');
    await copyTree(checksums, to, {}, signal);
    assert.equal(await scan(to).checksum('/'), digest, vector.name);
    const listing = ['-printf', '%P %y %m %U %G %T@ %n %l\n'];
    // Sockets arrive as files, and sizes and inodes of directories are the file system's affair.
    const list = (path: string) =>
      execFileSync('find', [path, ...listing], { encoding: 'latin1' })
        .split('\n')
        .sort();
    if (vector.name !== 'special') assert.deepEqual(list(to), list(from), vector.name);
  }
  t.diagnostic(`${files.length} of ${files.length} trees`);
});

test('much is copied in threads, and hard links stay', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
  await using pool = createWorkerPool(2);
  const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
  mkdirSync(join(from, 'sub'), { recursive: true });
  mkdirSync(to);
  for (let index = 0; index < 2500; index++) writeFileSync(join(from, 'sub', `file${index}`), `${index}`.repeat(100));
  writeFileSync(join(from, 'large'), Buffer.alloc(40 << 20, 'large'));
  execFileSync('ln', [join(from, 'large'), join(from, 'sub/same')]);
  const checksums = contentChecksums(directoryTree(from), { view: 'scan', pool: () => pool });
  const digest = await checksums.checksum('/');
  let bytes = 0;
  await copyTree(checksums, to, { pool: () => pool, advance: more => (bytes += more) }, signal);
  assert.equal(await scan(to).checksum('/'), digest);
  assert.equal(statSync(join(to, 'large')).ino, statSync(join(to, 'sub/same')).ino);
  const small = Array.from({ length: 2500 }, (_, index) => `${index}`.length * 100);
  assert.equal(
    bytes,
    small.reduce((sum, size) => sum + size, 40 << 20),
  );
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
      await assert.rejects(copyTree(checksums, to, {}, signal), (error: unknown) => {
        assert.ok(error instanceof ChangedUnderBuildError, String(error));
        assert.equal(error.path, 'src/schema.ts');
        assert.match(error.message, /^src\/schema\.ts changed while it was being read/);
        return true;
      });
    });
  }
});

test('a link is copied as it was hashed, or not at all', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-copy-'));
  const [from, to] = [join(scratch.path, 'from'), join(scratch.path, 'to')];
  for (const directory of [from, to]) mkdirSync(directory);
  execFileSync('ln', ['-s', 'one', join(from, 'link')]);
  await setTimeout(40);
  const open = () => {
    const tree = contextTree(from);
    const cache = openRecordCache(join(scratch.path, 'cache'), { openedAt: tree.openedAt });
    return { cache, checksums: contentChecksums(tree, { view: 'transfer', cache: () => cache }) };
  };
  const { cache, checksums } = open();
  await checksums.checksum('/');
  cache.save();
  // Its digest comes from the cache, so its target was not read yet.
  const later = open().checksums;
  await later.checksum('/');
  execFileSync('ln', ['-sfn', 'two', join(from, 'link')]);
  await assert.rejects(copyTree(later, to, {}, signal), { name: 'ChangedUnderBuildError', path: 'link' });
  assert.equal(lstatSync(join(to, 'link'), { throwIfNoEntry: false }), undefined);
  await copyTree(checksums, to, {}, signal);
  assert.equal(readlinkSync(join(to, 'link')), 'one');
});
