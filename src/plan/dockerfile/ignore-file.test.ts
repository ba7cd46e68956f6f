import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createPathFilter, type FilteredDirectory } from '../../wire/fsutil/path-filter.ts';
import { compilePatterns } from '../../wire/fsutil/patterns.ts';
import { readIgnoreFile } from './ignore-file.ts';

interface Vectors {
  readonly tree: readonly string[];
  readonly read: readonly {
    readonly id: string;
    readonly file?: string;
    readonly pieces?: readonly (string | readonly [string, number])[];
    readonly patterns?: readonly string[];
    readonly error?: string;
  }[];
  readonly match: readonly {
    readonly id: string;
    readonly patterns: readonly string[];
    readonly path: string;
    readonly ignored?: boolean;
    readonly error?: string;
  }[];
  readonly walk: readonly {
    readonly id: string;
    readonly file: string;
    readonly include: readonly string[];
    readonly kept: readonly string[];
  }[];
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../../test/vectors/dockerfile/ignore.json', import.meta.url), 'utf8'),
);

test(`reading: ${vectors.read.length} vectors`, () => {
  for (const { id, file, pieces, patterns, error } of vectors.read) {
    const text = file ?? pieces?.map(piece => (typeof piece === 'string' ? piece : piece[0].repeat(piece[1]))).join('');
    const read = () => readIgnoreFile(text ?? '');
    if (error === undefined) assert.deepEqual(read(), patterns, id);
    else assert.throws(read, { message: `failed parsing .dockerignore: ${error}` }, id);
  }
});

test(`matching: ${vectors.match.length} vectors`, () => {
  for (const { id, patterns, path, ignored, error } of vectors.match) {
    const match = () => compilePatterns(readIgnoreFile(patterns.join('\n'))).matches(path);
    if (error === undefined) assert.equal(match(), ignored, `${id}: ${JSON.stringify(patterns)} on ${path}`);
    else assert.throws(match, { message: error }, id);
  }
});

test(`walking: ${vectors.walk.length} vectors`, () => {
  const tree = completeTree(vectors.tree);
  for (const { id, file, include, kept } of vectors.walk) {
    const exclude = readIgnoreFile(file);
    assert.deepEqual(walk(tree, include, exclude), kept, `${id}: ${JSON.stringify(exclude)} including ${include}`);
  }
});

/** Every path of the tree with its parents, in the order of a walk; directories end in a slash. */
function completeTree(listed: readonly string[]): string[] {
  const paths = new Set<string>();
  for (const path of listed) {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1))
      paths.add(path.slice(0, slash + 1));
    paths.add(path);
  }
  const key = (path: string) => path.replace(/\/$/, '').replaceAll('/', '\0');
  return [...paths].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function walk(tree: readonly string[], include: readonly string[], exclude: readonly string[]): string[] {
  const filter = createPathFilter({ include, exclude });
  const directories = new Map<string, FilteredDirectory>();
  const kept = new Set<string>();
  for (const entry of tree) {
    const path = entry.replace(/\/$/, '');
    const parent = path.slice(0, path.lastIndexOf('/') + 1);
    const state = directories.get(parent);
    if (parent !== '' && state?.enter !== true) continue;
    const decision = entry.endsWith('/') ? filter.directory(path, state) : undefined;
    if (decision !== undefined) directories.set(entry, decision);
    if (decision?.keep ?? filter.keepsFile(path, state)) {
      for (let slash = entry.indexOf('/'); slash >= 0; slash = entry.indexOf('/', slash + 1))
        kept.add(entry.slice(0, slash + 1));
      kept.add(entry);
    }
  }
  return [...kept];
}
