import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyPart } from '../../engine/status/event.ts';
import { filesAsSelected } from './selected-files.ts';

const file = (name: string, digest: string): KeyPart => ({ kind: 'file', name, value: `0644 sha256:${digest}` });
const selector = (name: string): KeyPart => ({ kind: 'selector', name, value: '' });
const names = ([past, now]: ReturnType<typeof filesAsSelected>) => [past, now].map(files => files.map(one => one.name));

/** Compares the contents `was` and `is`, both selected as `path`. */
function compare(path: string | readonly string[], was: readonly KeyPart[], is: readonly KeyPart[]) {
  const known: Readonly<Record<string, readonly KeyPart[]>> = { was, is, path: [path].flat().map(selector) };
  const keys = [
    { selector: 'path', content: 'was' },
    { selector: 'path', content: 'is' },
  ] as const;
  return names(filesAsSelected([was, is], keys, digest => known[digest]));
}

test('a file that has the content of another one goes by its own name', () => {
  assert.deepEqual(compare('/b.txt', [file('/b.txt', 'b')], [file('/c.txt', 'c')]), [['/b.txt'], ['/b.txt']]);
});

test('so do the files of a directory that equals another one', () => {
  const directory = (name: string): KeyPart => ({ kind: 'directory', name, value: '0755 sha256:d' });
  const was = [directory('/src'), file('/src/a', 'a')];
  const is = [directory('/lib'), file('/lib/x', 'x')];
  assert.deepEqual(compare('/src', was, is), [
    ['/src', '/src/a'],
    ['/src', '/src/x'],
  ]);
});

test('and each of several files that are selected', () => {
  const [was, is] = [
    [file('/a', '1'), file('/b', '2')],
    [file('/x', '3'), file('/y', '4')],
  ];
  assert.deepEqual(compare(['/b', '/a'], was, is), [
    ['/a', '/b'],
    ['/a', '/b'],
  ]);
});

test('what a link or a pattern leads to keeps its name', () => {
  assert.deepEqual(compare('/link', [file('/real', '1')], [file('/real', '2')]), [['/real'], ['/real']]);
  assert.deepEqual(compare('/*.txt', [file('/a.txt', '1')], [file('/b.txt', '2')]), [['/a.txt'], ['/b.txt']]);
});
