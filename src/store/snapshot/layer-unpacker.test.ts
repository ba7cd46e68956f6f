import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { getXattr } from '../../host/system/xattr.ts';
import { InvalidArchiveError } from '../content/store-error.ts';
import { encodeTarHeader, TAR_END, type TarHeader } from '../content/tar-header.ts';
import { createTarReader } from '../content/tar-reader.ts';
import { layerChanges, treeChanges } from './layer-changes.ts';
import { layerTar } from './layer-tar.ts';
import { createLayerUnpacker } from './layer-unpacker.ts';
import { describeTree, type FixtureFile, type FixtureTree, layOut } from './tree-fixture.ts';

const needsRoot = { skip: process.getuid?.() === 0 ? false : 'needs root to make devices and owners' };

function temporary(): { readonly path: string; directory(name: string): string } & Disposable {
  const base = mkdtempDisposableSync(join(tmpdir(), 'outcrop-unpack-'));
  return {
    path: base.path,
    directory(name) {
      mkdirSync(join(base.path, name));
      return join(base.path, name);
    },
    [Symbol.dispose]: () => base.remove(),
  };
}

function unpack(tar: Iterable<Uint8Array>, target: string, lower: readonly string[] = []): boolean {
  using unpacker = createLayerUnpacker(target, lower, false);
  const reader = createTarReader(unpacker);
  for (const piece of tar) reader.push(piece);
  reader.finish();
  unpacker.finish();
  return unpacker.hides();
}

const member = (name: string, change: Partial<TarHeader> = {}): Uint8Array =>
  encodeTarHeader({
    name,
    type: name.endsWith('/') ? '5' : '0',
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 7,
    ...change,
  });

const link = (name: string, linkname: string): Uint8Array => member(name, { type: '1', linkname });
const symlink = (name: string, linkname: string): Uint8Array => member(name, { type: '2', linkname });

/** Trees of few names, so that they meet. */
const names = fc.constantFrom('a', 'b', 'c', 'ü', 'with space', 'x'.repeat(120));
const metadata = {
  mode: fc.constantFrom('0644', '0755', '4755', '1777', '0600', '0000'),
  uid: fc.constantFrom(0, 5, 3_000_000),
  gid: fc.constantFrom(0, 7),
  mtime: fc.constantFrom(0, 1, 1_600_000_000),
};
const leaf = fc.oneof(
  fc.record({ type: fc.constant('file' as const), content: fc.string({ maxLength: 1200 }), ...metadata }),
  fc.record({
    type: fc.constant('symlink' as const),
    target: fc.constantFrom('a', '../b', '/nowhere', 't'.repeat(130)),
    uid: metadata.uid,
    gid: metadata.gid,
    mtime: metadata.mtime,
  }),
  fc.record({ type: fc.constant('fifo' as const), ...metadata }),
  fc.record({
    type: fc.constant('char' as const),
    dev: fc.constantFrom([1, 3] as const, [5, 0] as const),
    ...metadata,
  }),
);
const tree: fc.Arbitrary<FixtureTree> = fc
  .array(fc.tuple(fc.array(names, { minLength: 1, maxLength: 3 }), leaf, fc.boolean()), { maxLength: 12 })
  .map(entries => {
    const files: Record<string, FixtureFile> = {};
    for (const [parts, file, isLinked] of entries) {
      const parents = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'));
      const path = parts.join('/');
      if (path in files || parents.some(parent => parent in files && files[parent]?.type !== 'dir')) continue;
      for (const parent of parents) files[parent] ??= { type: 'dir', mode: '0750', uid: 5, gid: 5, mtime: 99 };
      files[path] = file;
      const other = `${path}2`;
      if (isLinked && !(other in files)) files[other] = { type: 'hardlink', target: path };
    }
    return files;
  });

test('any tree survives the way through a layer, and its tar is always the same', needsRoot, () => {
  fc.assert(
    fc.property(tree, files => {
      using place = temporary();
      const [one, two] = [place.directory('one'), place.directory('two')];
      layOut(one, files);
      const tar = Buffer.concat(copied(layerTar(layerChanges(one, []))));
      unpack([tar], two);
      assert.deepEqual(describeTree(two), describeTree(one));
    }),
    { numRuns: 60 },
  );
});

test('the difference of any two trees, applied to one, gives the other', needsRoot, () => {
  fc.assert(
    fc.property(tree, tree, (before, after) => {
      using place = temporary();
      const [one, two, layer] = [place.directory('one'), place.directory('two'), place.directory('layer')];
      layOut(one, before);
      layOut(two, after);
      unpack(copied(layerTar(treeChanges([one], [two]))), layer, [one]);
      assert.deepEqual(withoutDirectoryTimes(describeTree([layer, one])), withoutDirectoryTimes(describeTree(two)));
      // What was unpacked says the same again.
      const again = copied(layerTar(layerChanges(layer, [one])));
      const other = place.directory('other');
      unpack(again, other, [one]);
      assert.deepEqual(withoutDirectoryTimes(describeTree([other, one])), withoutDirectoryTimes(describeTree(two)));
    }),
    { numRuns: 60 },
  );
});

function copied(pieces: Iterable<Uint8Array>): Buffer[] {
  const all: Buffer[] = [];
  for (const piece of pieces) all.push(Buffer.from(piece));
  return all;
}

/** A directory's time is not part of what makes it different. */
function withoutDirectoryTimes(lines: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(lines).map(([path, line]) => [
      path,
      // Which of several names is the link is lost where one of them did not change.
      line.startsWith('4') ? line.replace(/ \d+\.\d+ /, ' ') : line.replace(/ = .*$/, ' '),
    ]),
  );
}

test('other programs unpack the same from our tars', needsRoot, () => {
  using place = temporary();
  const [one, two] = [place.directory('one'), place.directory('two')];
  layOut(one, {
    d: { type: 'dir', mode: '2750', uid: 3, gid: 4, mtime: 100 },
    'd/f': { type: 'file', content: 'f', mode: '4711', uid: 3_000_000, mtime: 5 },
    'd/h': { type: 'hardlink', target: 'd/f' },
    [`d/${'n'.repeat(140)}`]: { type: 'file', content: 'long', mode: '0644' },
    'd/ü': { type: 'symlink', target: 't'.repeat(120) },
    cap: {
      type: 'file',
      content: 'y',
      mode: '0755',
      xattrs: { 'security.capability': 'AQAAAgAEAAAAAAAAAAAAAAAAAAA=' },
    },
  });
  const tar = Buffer.concat(copied(layerTar(layerChanges(one, []))));
  execFileSync('tar', ['-x', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-p', '-C', two], { input: tar });
  assert.deepEqual(describeTree(two), describeTree(one));
});

test('whiteouts hide what is below, never what the layer itself has', needsRoot, () => {
  using place = temporary();
  const [lower, layer] = [place.directory('lower'), place.directory('layer')];
  for (const path of ['d', 'e', 'o', 'r']) mkdirSync(join(lower, path));
  for (const path of ['gone', 'd/old', 'e/old', 'o/old', 'r/old', 'kept']) writeFileSync(join(lower, path), path);
  const hides = unpack(
    [
      member('.wh.gone', { uid: 4 }),
      member('kept'),
      member('.wh.kept'),
      // Replaced by a new directory, said in either order.
      member('.wh.d'),
      member('d/'),
      member('d/new'),
      member('e/'),
      member('e/new'),
      member('.wh.e'),
      member('o/'),
      member('o/new'),
      member('o/.wh..wh..opq'),
      member('.wh.r'),
      member('r/new'),
      member('.wh..wh.aufs'),
      TAR_END,
    ],
    layer,
    [lower],
  );
  assert.ok(hides);
  assert.deepEqual(Object.keys(describeTree([layer, lower])), [
    'd',
    'd/new',
    'e',
    'e/new',
    'kept',
    'o',
    'o/new',
    'r',
    'r/new',
  ]);
  assert.equal(lstatSync(join(layer, 'gone')).uid, 4);
  assert.equal(getXattr(join(layer, 'o'), 'trusted.overlay.opaque')?.toString(), 'y');
  assert.ok(!unpack([member('f'), TAR_END], place.directory('plain')));
});

test('nothing is made outside of the root', needsRoot, () => {
  using place = temporary();
  const outside = place.directory('outside');
  writeFileSync(join(outside, 'target'), 'safe');
  const layer = place.directory('layer');
  unpack(
    [
      member('../up'),
      member('/absolute'),
      member('a/../../../b'),
      symlink('out', outside),
      member('out/made'),
      symlink('rel', '../../../../../etc'),
      member('rel/passwd'),
      symlink('d/loop', '../d'),
      member('d/loop/in'),
      TAR_END,
    ],
    layer,
  );
  assert.deepEqual(
    Object.keys(describeTree(layer)).filter(path => !path.startsWith('tmp')),
    ['absolute', 'b', 'd', 'd/in', 'd/loop', 'etc', 'etc/passwd', 'out', 'rel', 'up'],
  );
  assert.ok(!existsSync(join(outside, 'made')));
  assert.throws(
    () => unpack([symlink('s', 'target'), link('h', '../../outside/target'), TAR_END], place.directory('l2')),
    InvalidArchiveError,
  );
  assert.equal(readFileSync(join(outside, 'target'), 'utf8'), 'safe');
  for (const bad of ['.wh.', '.wh..', 'd/.wh...']) {
    assert.throws(() => unpack([member(bad), TAR_END], place.directory(`bad${bad.length}`)), /invalid whiteout name/);
  }
  assert.throws(
    () => unpack([symlink('a', 'b'), symlink('b', 'a'), member('a/f'), TAR_END], place.directory('l3')),
    /too many links/,
  );
  assert.throws(() => unpack([member('f'), member('f/g'), TAR_END], place.directory('l4')), /not a directory/);
  assert.throws(
    () => unpack([member('f', { type: 'Z' }), TAR_END], place.directory('l5')),
    /unhandled tar header type 90 of f/,
  );
});

test('what is there is replaced, directories are merged', needsRoot, () => {
  using place = temporary();
  const layer = place.directory('layer');
  unpack(
    [
      member('d/', { mode: 0o700 }),
      member('d/f'),
      member('d/', { mode: 0o711, uid: 9 }),
      member('f'),
      symlink('f', 'd'),
      member('was/'),
      member('was/deep/'),
      member('was'),
      symlink('s', 'nowhere'),
      member('s', { mode: 0o600 }),
      TAR_END,
    ],
    layer,
  );
  assert.deepEqual(Object.keys(describeTree(layer)), ['d', 'd/f', 'f', 's', 'was']);
  assert.equal(statSync(join(layer, 'd')).mode & 0o7777, 0o711);
  assert.ok(statSync(join(layer, 's')).isFile());
});

test('missing parents look like the directories below, and linked files come up', needsRoot, () => {
  using place = temporary();
  const [lower, layer] = [place.directory('lower'), place.directory('layer')];
  layOut(lower, {
    d: { type: 'dir', mode: '1770', uid: 6, gid: 7, mtime: 123, xattrs: { 'user.x': 'eA==' } },
    'd/below': { type: 'file', content: 'below', mode: '0640', uid: 8, mtime: 9 },
    'd/soft': { type: 'symlink', target: 'below' },
  });
  unpack([member('d/e/f'), link('d/hard', 'd/below'), link('d/softer', 'd/soft'), TAR_END], layer, [lower]);
  const after = describeTree(layer);
  assert.equal(after['d'], '41770 6:7 123.0     user.x=78');
  assert.match(after['d/e'] ?? '', /^40755 0:0 /);
  assert.match(after['d/below'] ?? '', /^100755 0:0 7\.0 /);
  assert.match(after['d/hard'] ?? '', /= d\/below/);
  assert.match(after['d/softer'] ?? '', /= d\/soft/);
});

test('times out of range become 0, xattrs of the administrator are dropped', needsRoot, () => {
  using place = temporary();
  const layer = place.directory('layer');
  unpack(
    [
      member('old', { mtime: -5 }),
      member('late', { mtime: 2 ** 34 }),
      member('fine', { mtime: 5, mtimeNanoseconds: 123_456_789 }),
      member('x', {
        records: new Map([
          ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
          ['SCHILY.xattr.user.bin', '\0\xff'],
        ]),
      }),
      TAR_END,
    ],
    layer,
  );
  const after = describeTree(layer);
  assert.match(after['old'] ?? '', / 0\.0 /);
  assert.match(after['late'] ?? '', / 0\.0 /);
  assert.match(after['fine'] ?? '', / 5\.123456789 /);
  assert.equal(getXattr(join(layer, 'x'), 'trusted.overlay.opaque'), undefined);
  assert.deepEqual(getXattr(join(layer, 'x'), 'user.bin'), Buffer.from([0, 255]));
});
