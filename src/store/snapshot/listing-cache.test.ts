import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setXattr } from '../../host/system/xattr.ts';
import type { TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import { type ChecksumEntry, contentChecksums } from './checksum.ts';
import { fileRecords } from './checksum-records.ts';
import { contextTree, filteredTree } from './file-tree-context.ts';
import { openListingCache } from './listing-cache.ts';

/** Past the tick of the kernel's clock within which a change may go unseen. */
const A_TICK = 40;

interface Seen {
  readonly digest: string;
  /** Of every file, by path. */
  readonly entries: readonly (readonly [path: string, digest: string])[];
  /** How many directories were found as they were. */
  readonly unchanged: number;
}

/** The checksum of a path of a context, as a build with a listing cache sees it. */
async function look(directory: string, cachePath: string, filter: TransferFilter = {}, path = '/'): Promise<Seen> {
  const tree = contextTree(directory);
  const records = fileRecords(tree, { view: 'transfer' });
  const cache = openListingCache({ tree, records, path: cachePath });
  let unchanged = 0;
  const directories = {
    put: cache.put,
    known: async (...asked: Parameters<typeof cache.known>) => {
      const digest = await cache.known(...asked);
      if (digest !== undefined) unchanged++;
      return digest;
    },
  };
  const options = { view: 'transfer', records, directories } as const;
  const { digest, entries } = await contentChecksums(filteredTree(tree, filter), options).examine(path);
  const seen = { digest, entries: entries().map(pair), unchanged };
  cache.save();
  return seen;
}

/** The same, by reading everything. */
async function lookAnew(directory: string, filter: TransferFilter = {}, path = '/'): Promise<Omit<Seen, 'unchanged'>> {
  const tree = filteredTree(contextTree(directory), filter);
  const { digest, entries } = await contentChecksums(tree, { view: 'transfer' }).examine(path);
  return { digest, entries: entries().map(pair) };
}

function pair({ path, digest }: ChecksumEntry): readonly [string, string] {
  return [path, digest];
}

function makeContext(root: string): string {
  for (const directory of ['a/b/c', 'a/d', 'e/f', 'empty']) mkdirSync(join(root, directory), { recursive: true });
  for (const file of ['top', 'a/one', 'a/two', 'a/b/three', 'a/b/c/four', 'a/d/five', 'e/six', 'e/f/seven.log'])
    writeFileSync(join(root, file), file);
  symlinkSync('../one', join(root, 'a/b/link'));
  setXattr(join(root, 'a/two'), 'user.note', Buffer.from('x'));
  return root;
}

const FILTERS: readonly TransferFilter[] = [
  {},
  { excludePatterns: ['**/*.log', 'a/d'] },
  { followPaths: ['a'] },
  { includePatterns: ['**/*.log'] },
];

test('a context in which nothing changed is known without a record of a file, one that changed is read where it did', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-listings-'));
  const context = makeContext(join(scratch.path, 'context'));
  await setTimeout(A_TICK);
  const cache = join(scratch.path, 'state/listings');
  const first = await look(context, cache);
  assert.equal(first.unchanged, 0);
  const second = await look(context, cache);
  assert.deepEqual(second, { ...first, unchanged: 1 });
  writeFileSync(join(context, 'a/b/three'), 'THREE');
  await setTimeout(A_TICK);
  const third = await look(context, cache);
  assert.deepEqual(third, { ...(await lookAnew(context)), unchanged: 4 }, 'a/b/c, a/d, e, empty');
  assert.notEqual(third.digest, first.digest);
  assert.deepEqual(await look(context, cache), { ...third, unchanged: 1 });
});

test('whatever changes, the checksum is that of the files', { timeout: 60_000 }, async t => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-listings-'));
  const context = makeContext(join(scratch.path, 'context'));
  const at = (path: string) => join(context, path);
  const changes: readonly (() => void)[] = [
    () => {},
    () => writeFileSync(at('a/b/c/four'), 'FOUR'),
    () => {
      writeFileSync(at('a/one'), 'ONE');
      utimesSync(at('a/one'), 1_700_000_000, 1_700_000_000);
    },
    () => chmodSync(at('e'), 0o700),
    () => chmodSync(at('a/d/five'), 0o755),
    () => writeFileSync(at('empty/new'), 'new'),
    () => rmSync(at('empty/new')),
    () => renameSync(at('a/d'), at('e/d')),
    () => renameSync(at('e/d'), at('a/d')),
    () => {
      rmSync(at('a/b/link'));
      symlinkSync('../two', at('a/b/link'));
    },
    () => writeFileSync(at('a/d/eight.log'), 'eight'),
    () => setXattr(at('a/one'), 'user.note', Buffer.from('y')),
    () => rmSync(at('a/b'), { recursive: true }),
    () => writeFileSync(at('a/b'), 'no directory any more'),
    () => writeFileSync(at('a/d/\u00fc\n'), 'a name with what a line ends with'),
  ];
  let looks = 0;
  let unchanged = 0;
  for (const change of changes) {
    change();
    // Both right after a change, when nothing may be kept of it, and later.
    for (const wait of [0, A_TICK, 0]) {
      await setTimeout(wait);
      for (const [index, filter] of FILTERS.entries()) {
        for (const path of ['/', '/a', '/e']) {
          const cached = await look(context, join(scratch.path, `listings-${index}`), filter, path).catch(String);
          const anew = await lookAnew(context, filter, path).catch(String);
          looks++;
          if (typeof cached === 'string' || typeof anew === 'string') assert.equal(cached, anew);
          else {
            unchanged += cached.unchanged;
            assert.deepEqual({ digest: cached.digest, entries: cached.entries }, anew, `${change} ${path}`);
          }
        }
      }
    }
  }
  assert.ok(unchanged > looks / 3, `${unchanged}`);
  t.diagnostic(`${looks} looks, ${unchanged} directories found unchanged`);
});

test('files are what they were when their directory was found unchanged', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-listings-'));
  const context = makeContext(join(scratch.path, 'context'));
  await setTimeout(A_TICK);
  const cache = join(scratch.path, 'listings');
  const first = await look(context, cache);
  const tree = contextTree(context);
  const records = fileRecords(tree, { view: 'transfer' });
  const directories = openListingCache({ tree, records, path: cache });
  const { digest, entries } = await contentChecksums(tree, { view: 'transfer', records, directories }).examine('/');
  rmSync(join(context, 'a'), { recursive: true });
  writeFileSync(join(context, 'top'), 'changed');
  assert.deepEqual({ digest, entries: entries().map(pair), unchanged: 0 }, first);
  const link = tree.child(tree.child(tree.child(tree.root, 'a') ?? tree.root, 'b') ?? tree.root, 'link');
  assert.equal(link && tree.readlink(link), '../one');
});

test('a damaged file counts as none', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-listings-'));
  const context = makeContext(join(scratch.path, 'context'));
  await setTimeout(A_TICK);
  const cache = join(scratch.path, 'listings');
  const first = await look(context, cache);
  const whole = readFileSync(cache);
  for (const damage of [
    Buffer.alloc(0),
    whole.subarray(0, 100),
    whole.subarray(0, -1),
    Buffer.concat([whole.subarray(0, 200), Buffer.of(~(whole[200] ?? 0)), whole.subarray(201)]),
  ]) {
    writeFileSync(cache, damage);
    assert.deepEqual(await look(context, cache), first);
  }
});
