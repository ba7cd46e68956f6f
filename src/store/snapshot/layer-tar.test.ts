import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempDisposableSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { makeWhiteout, setTimes } from '../../host/system/inode.ts';
import { setXattr } from '../../host/system/xattr.ts';
import { createTarReader } from '../content/tar-reader.ts';
import { type LayerChange, layerChanges, treeChanges } from './layer-changes.ts';
import { LayerChangedError, layerTar } from './layer-tar.ts';
import { type FixtureFile, type FixtureTree, layOut } from './tree-fixture.ts';

const root = process.getuid?.() === 0;
const needsRoot = { skip: root ? false : 'needs root to make devices and owners' };

interface Vector {
  readonly context: FixtureTree;
  readonly other?: FixtureTree;
  readonly output: string;
  readonly layers: Readonly<Record<string, { readonly diffID: string; readonly base?: boolean }>>;
}

const EPOCH = 1_700_000_000;

/** A new directory or file without a time of its own: after the epoch, so that it is clamped. */
const NOW = { mtime: EPOCH + 1000, uid: 0, gid: 0 } as const;
const made = (mode = '0755'): FixtureFile => ({ type: 'dir', mode, ...NOW });
const text = (content: string, mode = '0644'): FixtureFile => ({ type: 'file', content, mode, ...NOW });

function pick(tree: FixtureTree, from: string, to: string, change: Partial<FixtureFile> = {}): FixtureTree {
  const found: Record<string, FixtureFile> = {};
  for (const [path, file] of Object.entries(tree)) {
    const inside = from === '' ? path : path.startsWith(`${from}/`) ? path.slice(from.length + 1) : undefined;
    const name = path === from ? to : inside === undefined ? undefined : join(to, inside);
    if (name === undefined) continue;
    const target = file.type === 'hardlink' && file.target !== undefined ? join(to, file.target) : file.target;
    found[name] = { ...file, ...change, ...(target === undefined ? {} : { target }) };
  }
  return found;
}

/** What the steps of a case leave in the layers' directories, bottom first; built by hand, as overlay would leave it. */
const recipes: Readonly<Record<string, (vector: Vector) => readonly FixtureTree[]>> = {
  '01-scratch-copy': ({ context }) => [
    {
      app: { type: 'dir', mode: '0755', uid: 0, gid: 0, mtime: context['dir']?.mtime ?? 0 },
      ...pick(context, 'a.txt', 'app/a.txt'),
      ...pick(context, 'dir/b', 'app/b'),
      ...pick(context, 'dir/l', 'app/l'),
    },
  ],
  '02-all-metadata': () => [{ srv: made(), 'srv/app': made() }],
  '03-run-changes': () => {
    const second = { type: 'file', content: '2\n', mode: '0644', ...NOW } as const;
    return [
      {
        a: made(),
        'a/b': made(),
        'a/b/two': second,
        'a/hard': text('1\n'),
        'a/link': { type: 'symlink', target: 'one', ...NOW },
        'a/one': { type: 'hardlink', target: 'a/hard' },
        c: made(),
        'c/three': text('3\n'),
      },
      {
        a: made(),
        'a/b': made('0700'),
        'a/one': { type: 'char' },
        c: { ...made(), xattrs: { 'trusted.overlay.opaque': Buffer.from('y').toString('base64') } },
        'c/four': text('new\n'),
      },
      { a: { type: 'char' }, old: { ...text('', '4644'), mtime: 1_600_000_000 } },
      {},
    ];
  },
  '04-docker-archive': ({ context }) => [context],
  '05-multi-platform': ({ context }) => ['amd64', 'arm64', 'arm'].map(name => pick(context, `${name}/f`, 'f')),
  '06-annotations': ({ context }) => [context],
  '07-docker-media-types': ({ context }) => [context],
  '08-compressions': ({ context }) => [pick(context, 'a.txt', 'one'), { zeros: text('\0'.repeat(100_000)) }],
  '09-special-files': ({ other = {} }) => {
    // In the image that is copied from, this name is a whiteout.
    const { '.wh.odd': _, ...rest } = other;
    return [{ o: made(), ...pick(rest, '', 'o') }];
  },
  '10-copy-link': ({ context }) => [
    { x: made(), ...pick(context, 'a.txt', 'x/a.txt') },
    {
      x: { ...made(), uid: 5, gid: 6 },
      ...pick(context, 'dir', 'x/dir', { uid: 5, gid: 6 }),
    },
    {
      x: { ...made(), uid: 5, gid: 6 },
      'x/dir': { ...made(), uid: 5, gid: 6 },
      ...pick(context, 'a.txt', 'x/dir/again'),
    },
  ],
  '11-epoch-without-rewrite': ({ context }) => [context, {}],
  '12-inline-cache': ({ context }) => [pick(context, 'a.txt', 'm')],
  '13-attested': ({ context }) => [context],
};

function collect(changes: Iterable<LayerChange>, epoch?: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (const piece of layerTar(changes, epoch)) pieces.push(Buffer.from(piece));
  return pieces;
}

function namesOf(tar: Buffer): string[] {
  const names: string[] = [];
  const reader = createTarReader({
    entry({ name, type, linkname }) {
      names.push(type === '1' ? `${name} = ${linkname}` : name);
    },
    data() {},
  });
  reader.push(tar);
  reader.finish();
  return names;
}

test('layers of the image vectors are made bit for bit from trees', needsRoot, t => {
  let layers = 0;
  for (const [name, recipe] of Object.entries(recipes)) {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-layer-'));
    const file = new URL(`../../../test/vectors/images/${name}.json`, import.meta.url);
    const vector = JSON.parse(readFileSync(file, 'utf8')) as Vector;
    const expected = Object.values(vector.layers).filter(layer => layer.base !== true);
    const lower: string[] = [];
    const trees = recipe(vector);
    assert.equal(trees.length, expected.length, name);
    for (const [index, tree] of trees.entries()) {
      const upper = join(directory.path, String(index));
      mkdirSync(upper);
      layOut(upper, tree);
      // Every COPY --link and every platform stands on nothing.
      const below = name === '05-multi-platform' || (name === '10-copy-link' && index < 2) ? [] : lower.toReversed();
      const epoch = vector.output.includes('rewrite-timestamp=true') ? EPOCH : undefined;
      const tar = Buffer.concat(collect(layerChanges(upper, below), epoch));
      const diffID = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
      assert.equal(diffID, expected[index]?.diffID, `${name}, layer ${index}: ${namesOf(tar)}`);
      lower.push(upper);
      layers++;
    }
  }
  t.diagnostic(`${layers} of 22 layers`);
  assert.equal(layers, 22);
});

function pair(): { readonly path: string; readonly upper: string; readonly lower: string } & Disposable {
  const directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-layer-'));
  const [upper, lower] = [join(directory.path, 'upper'), join(directory.path, 'lower')];
  mkdirSync(upper);
  mkdirSync(lower);
  return { path: directory.path, upper, lower, [Symbol.dispose]: () => directory.remove() };
}

function put(path: string, content: string, nanoseconds = 1_600_000_000_000_000_000n): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  setTimes(path, nanoseconds, nanoseconds);
}

function changed(upper: string, lower: string): string[] {
  return namesOf(Buffer.concat(collect(layerChanges(upper, [lower]))));
}

test('what is the same is left out', () => {
  using dirs = pair();
  for (const side of [dirs.upper, dirs.lower]) {
    put(join(side, 'd/same'), 'same');
    symlinkSync('same', join(side, 'd/link'));
    setTimes(join(side, 'd/link'), 5n, 5n);
  }
  put(join(dirs.upper, 'd/content'), 'new');
  put(join(dirs.lower, 'd/content'), 'old');
  // With a time finer than seconds on both sides, content is not looked at.
  put(join(dirs.upper, 'd/fine'), 'new', 1n);
  put(join(dirs.lower, 'd/fine'), 'old', 1n);
  put(join(dirs.upper, 'd/time'), 'x', 1n);
  put(join(dirs.lower, 'd/time'), 'x', 2n);
  assert.deepEqual(changed(dirs.upper, dirs.lower), ['d/', 'd/content', 'd/time']);
});

test('whiteouts are written where something was', needsRoot, () => {
  using dirs = pair();
  put(join(dirs.lower, 'd/gone'), '');
  put(join(dirs.lower, 'whole/a'), '');
  mkdirSync(join(dirs.upper, 'd'));
  makeWhiteout(join(dirs.upper, 'd/gone'));
  makeWhiteout(join(dirs.upper, 'd/never'));
  makeWhiteout(join(dirs.upper, 'whole'));
  assert.deepEqual(changed(dirs.upper, dirs.lower), ['d/', 'd/.wh.gone', '.wh.whole']);
});

test('an opaque directory is compared name by name', needsRoot, () => {
  using dirs = pair();
  for (const name of ['a', 'b', 'sub/x', 'sub/y', 'tree/deep/er']) put(join(dirs.lower, 'd', name), name);
  for (const name of ['b', 'c', 'sub/y']) put(join(dirs.upper, 'd', name), name);
  setXattr(join(dirs.upper, 'd'), 'trusted.overlay.opaque', Buffer.from('y'));
  mkdirSync(join(dirs.upper, 'new'));
  setXattr(join(dirs.upper, 'new'), 'trusted.overlay.opaque', Buffer.from('y'));
  assert.deepEqual(changed(dirs.upper, dirs.lower), [
    'd/',
    'd/.wh.a',
    'd/c',
    'd/sub/',
    'd/sub/.wh.x',
    'd/.wh.tree',
    'new/',
  ]);
});

test('names of one file are links, also when one of them was there before', needsRoot, () => {
  using dirs = pair();
  layOut(dirs.lower, { a: text('x'), z: text('z') });
  layOut(dirs.upper, { a: text('x'), b: { type: 'hardlink', target: 'a' }, z: text('z') });
  assert.deepEqual(changed(dirs.upper, dirs.lower), ['b']);
  const both = Buffer.concat(collect(treeChanges([dirs.lower], [dirs.upper])));
  assert.deepEqual(namesOf(both), ['b', 'a = b']);
});

test('names that are not UTF-8 keep their bytes and their order', () => {
  using dirs = pair();
  for (const name of ['a\xff', 'a\x80', '\xf0\x9f\x90\xb3', '\xef\xbf\xbd']) {
    writeFileSync(Buffer.from(`${dirs.upper}/${name}`, 'latin1'), name);
  }
  assert.deepEqual(changed(dirs.upper, dirs.lower), ['a\x80', 'a\xff', '\xef\xbf\xbd', '\xf0\x9f\x90\xb3']);
});

test('a file that grows or shrinks while it is read is an error', () => {
  using dirs = pair();
  for (const content of ['longer than it was', '']) {
    put(join(dirs.upper, 'f'), 'as it was');
    const tar = layerTar(layerChanges(dirs.upper, []));
    tar.next();
    writeFileSync(join(dirs.upper, 'f'), content);
    assert.throws(() => [...tar], LayerChangedError);
  }
});
