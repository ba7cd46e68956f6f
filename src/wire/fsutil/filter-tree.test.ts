import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBytePath, toBytePath } from './byte-path.ts';
import { filterTree, type TransferFilter } from './filter-tree.ts';
import { followedPatterns } from './follow-paths.ts';
import { PatternSyntaxError } from './path-match.ts';
import { type FileType, type ReadableTree, type TreeEntry, walkTree } from './tree.ts';

interface Entry extends TreeEntry {
  readonly target: string;
  readonly children: Entry[];
}

interface Watched extends ReadableTree<Entry> {
  /** Directories whose children were asked for. */
  readonly read: Set<string>;
}

/** A tree of paths: `a/b`, a directory `c/`, a link `l -> target`; `!d/` cannot be read. */
function treeOf(...paths: readonly string[]): Watched {
  const root: Entry = { name: '', type: 'dir', target: '', children: [] };
  const locked = new Set<Entry>();
  const read = new Set<string>();
  for (const line of paths) {
    const [path = '', target = ''] = line.replace(/^!/, '').split(' -> ');
    const names = toBytePath(path)
      .split('/')
      .filter(name => name !== '');
    let at = root;
    for (const [index, name] of names.entries()) {
      const isLast = index === names.length - 1 && !path.endsWith('/');
      const type: FileType = isLast ? (target === '' ? 'file' : 'symlink') : 'dir';
      let next = at.children.find(child => child.name === name);
      if (next === undefined) {
        next = { name, type, target: toBytePath(target), children: [] };
        at.children.push(next);
        at.children.sort((a, b) => (a.name < b.name ? -1 : 1));
      }
      at = next;
    }
    if (line.startsWith('!')) locked.add(at);
  }
  const children = (entry: Entry): Entry[] => {
    if (locked.has(entry)) throw Object.assign(new Error('permission denied'), { code: 'EACCES' });
    read.add(entry.name);
    return entry.children;
  };
  return {
    root,
    read,
    children,
    child: (entry, name) => entry.children.find(child => child.name === name),
    readlink: entry => entry.target,
  };
}

function sent(tree: ReadableTree<Entry>, filter: TransferFilter): string[] {
  return [...walkTree(filterTree(tree, filter))].map(
    ([path, { type }]) => fromBytePath(path) + (type === 'dir' ? '/' : ''),
  );
}

test('siblings go by bytes, and a directory before what sorts between it and its children', () => {
  const tree = treeOf('a/b', 'a-b', 'a.b', 'ab', 'a/-', 'é', 'z', '\u{1f600}', '\uffff');
  assert.deepEqual(sent(tree, {}), ['a/', 'a/-', 'a/b', 'a-b', 'a.b', 'ab', 'z', 'é', '\uffff', '\u{1f600}']);
});

test('directories on the way to what is kept are sent before it, and only then', () => {
  const tree = treeOf('a/b/c.js', 'a/b/d.md', 'a/e/', 'f/g.md', 'h/');
  assert.deepEqual(sent(tree, { includePatterns: ['**/*.js'] }), ['a/', 'a/b/', 'a/b/c.js']);
  assert.deepEqual(sent(tree, { excludePatterns: ['a', '!a/b/c.js'] }), [
    'a/',
    'a/b/',
    'a/b/c.js',
    'f/',
    'f/g.md',
    'h/',
  ]);
  assert.deepEqual(sent(tree, { excludePatterns: ['**/*.md'] }), ['a/', 'a/b/', 'a/b/c.js', 'a/e/', 'f/', 'h/']);
});

test('what cannot hold anything that is kept is not read', () => {
  const tree = treeOf('node_modules/x/y', 'src/a', '.git/objects/z');
  sent(tree, { excludePatterns: ['node_modules', '.git'] });
  assert.deepEqual([...tree.read], ['', 'src']);
  const other = treeOf('node_modules/x/y', 'src/a', 'src/b/c');
  sent(other, { includePatterns: ['src/b'] });
  assert.deepEqual([...other.read].sort(), ['', 'b', 'src']);
});

test('an excluded directory that cannot be read is left out, a kept one is an error', () => {
  const tree = treeOf('a/b', '!a/secret/', 'c');
  assert.deepEqual(sent(tree, { excludePatterns: ['a/secret', '!**/x'] }), ['a/', 'a/b', 'c']);
  assert.throws(() => sent(tree, { excludePatterns: ['c'] }), { code: 'EACCES' });
});

test('a single child is looked up without its siblings', () => {
  const tree = treeOf('a/b.md', 'a/c', 'd/e.md', 'f');
  const filtered = filterTree(tree, { excludePatterns: ['**/*.md', 'd'] });
  const a = filtered.child(filtered.root, 'a');
  assert.ok(a);
  assert.deepEqual([...tree.read], []);
  assert.equal(filtered.child(a, 'b.md'), undefined);
  assert.equal(filtered.child(a, 'c')?.name, 'c');
  assert.equal(filtered.child(filtered.root, 'd'), undefined);
  assert.deepEqual([...tree.read], []);
});

test('malformed patterns are told with their list', () => {
  assert.throws(() => sent(treeOf(), { includePatterns: ['a', '['] }), {
    name: 'PatternSyntaxError',
    message: 'invalid includepatterns: [a []: syntax error in pattern',
  });
  assert.throws(() => sent(treeOf(), { excludePatterns: ['!'] }), PatternSyntaxError);
});

test('followed paths bring the links on the way and what they lead to', () => {
  const tree = treeOf(
    'a/b/file',
    'link -> a/b',
    'abs -> /a',
    'up -> ../../a/b/file',
    'self -> self',
    'a/back -> ../link',
    'x.js',
    'l1 -> x.js',
    'l2 -> a',
  );
  const cases: readonly (readonly [paths: readonly string[], patterns: readonly string[]])[] = [
    [['link'], ['a/b', 'link']],
    [['/link/file'], ['a/b/file', 'link']],
    [['abs/b'], ['a/b', 'abs']],
    [['up'], ['a/b/file', 'up']],
    [['self'], ['self']],
    [['a/back'], ['a/b', 'a/back', 'link']],
    [['missing/x'], ['missing/x']],
    [['*.js'], ['*.js']],
    [['l*'], ['a', 'l*', 'x.js']],
    [['l*/file'], ['a/b/file', 'a/file', 'l*', 'x.js/file']],
    // A name that sorts between the two keeps the second, as it does in BuildKit.
    [
      ['a', 'a/b', 'a-b'],
      ['a', 'a-b', 'a/b'],
    ],
    [['a', '.'], []],
    [
      ['[', 'a'],
      ['[', 'a'],
    ],
    [[], []],
  ];
  for (const [paths, patterns] of cases) assert.deepEqual(followedPatterns(tree, [], paths), patterns, String(paths));
});

test('followed paths join the include patterns', () => {
  const tree = treeOf('a/b', 'link -> a');
  assert.deepEqual(followedPatterns(tree, ['x'], undefined), ['x']);
  assert.deepEqual(followedPatterns(tree, ['x', 'x/y', '/z'], ['link']), ['x', '/z', 'a', 'link']);
  assert.deepEqual(followedPatterns(tree, ['.'], ['link']), []);
  assert.deepEqual(followedPatterns(tree, ['x'], ['.']), ['x']);
});
