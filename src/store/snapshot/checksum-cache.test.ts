import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setXattr } from '../../host/system/xattr.ts';
import { contentChecksums } from './checksum.ts';
import { openRecordCache } from './checksum-cache.ts';
import type { FileNode } from './file-tree.ts';
import { contextTree } from './file-tree-context.ts';

/** Past the tick of the kernel's clock within which a change may go unseen. */
const A_TICK = 40;

/** A checksum with a cache on disk; says how many records were not in it. */
async function checksumWithCache(directory: string, cachePath: string): Promise<{ digest: string; read: number }> {
  const tree = contextTree(directory);
  const cache = openRecordCache(cachePath, { openedAt: tree.openedAt });
  let read = 0;
  const counted = {
    ...cache,
    get: (node: FileNode) => {
      const found = cache.get(node);
      if (found === undefined) read++;
      return found;
    },
  };
  const digest = await contentChecksums(tree, { view: 'transfer', cache: () => counted }).checksum('/');
  cache.save();
  return { digest, read };
}

async function makeContext(root: string, content: string): Promise<string> {
  mkdirSync(join(root, 'd'), { recursive: true });
  writeFileSync(join(root, 'a'), content);
  writeFileSync(join(root, 'd/b'), 'b');
  utimesSync(join(root, 'a'), 1_700_000_000, 1_700_000_000);
  await setTimeout(A_TICK);
  return root;
}

test('an unchanged directory is not read again', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const context = await makeContext(join(scratch.path, 'context'), 'one');
  const cache = join(scratch.path, 'state/cache');
  const first = await checksumWithCache(context, cache);
  assert.equal(first.read, 4);
  assert.deepEqual(await checksumWithCache(context, cache), { digest: first.digest, read: 0 });
});

test('an edit of the same size with its mtime put back is noticed', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const context = await makeContext(join(scratch.path, 'context'), 'one');
  const cache = join(scratch.path, 'cache');
  const first = await checksumWithCache(context, cache);
  const file = join(context, 'a');
  const { ino, mtimeMs } = statSync(file);
  writeFileSync(file, 'two');
  utimesSync(file, 1_700_000_000, 1_700_000_000);
  assert.deepEqual([statSync(file).ino, statSync(file).mtimeMs], [ino, mtimeMs]);
  assert.notEqual((await checksumWithCache(context, cache)).digest, first.digest);
});

test('changed attributes and modes of files and directories are noticed', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const context = await makeContext(join(scratch.path, 'context'), 'one');
  const cache = join(scratch.path, 'cache');
  const digests = [(await checksumWithCache(context, cache)).digest];
  for (const change of [
    () => setXattr(join(context, 'a'), 'user.note', Buffer.from('x')),
    () => chmodSync(join(context, 'd'), 0o700),
    () => chmodSync(join(context, 'a'), 0o600),
  ]) {
    change();
    await setTimeout(A_TICK);
    const { digest } = await checksumWithCache(context, cache);
    assert.ok(!digests.includes(digest));
    assert.deepEqual(await checksumWithCache(context, cache), { digest, read: 0 });
    digests.push(digest);
  }
});

test('two directories with equal names, sizes and times have nothing in common, even in one cache', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const cache = join(scratch.path, 'cache');
  const one = await makeContext(join(scratch.path, 'one/app'), 'one');
  const two = await makeContext(join(scratch.path, 'two/app'), 'two');
  const digest = (await checksumWithCache(one, cache)).digest;
  assert.notEqual((await checksumWithCache(two, cache)).digest, digest);
  assert.equal((await checksumWithCache(one, cache)).digest, digest);
});

test('what was changed just before it was read is read again', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const cache = join(scratch.path, 'cache');
  const context = await makeContext(join(scratch.path, 'context'), 'one');
  writeFileSync(join(context, 'd/b'), 'c');
  assert.equal((await checksumWithCache(context, cache)).read, 4);
  assert.equal((await checksumWithCache(context, cache)).read, 1);
});

test('a damaged cache is an empty one', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const cache = join(scratch.path, 'cache');
  const context = await makeContext(join(scratch.path, 'context'), 'one');
  const { digest } = await checksumWithCache(context, cache);
  const bytes = readFileSync(cache);
  for (const damaged of [
    bytes.subarray(0, -1),
    Buffer.concat([bytes.subarray(0, 200), Buffer.alloc(bytes.length - 200)]),
  ]) {
    writeFileSync(cache, damaged);
    assert.deepEqual(await checksumWithCache(context, cache), { digest, read: 4 });
  }
});
