import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { contentKey } from './content-key.ts';
import { plainSelector } from './content-selector.ts';
import { scratch } from './ref.ts';
import { testingStore } from './testing-store.ts';

interface Content {
  path: string;
  followLinks?: boolean;
  wildcard?: boolean;
  include?: string[];
  exclude?: string[];
  required?: string[];
}

interface Case {
  name: string;
  expect: { deps?: { content?: Content[]; contentDigest?: string; contentError?: string }[] };
}

interface Entry {
  path: string;
  kind: 'dir' | 'file' | 'symlink';
  mode?: string;
  target?: string;
  content?: { text: string };
}

const folder = new URL('../../../test/vectors/cache-keys/', import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
const signal = new AbortController().signal;

const deps = ['exec.json', 'file.json'].flatMap(name =>
  (read(name) as Case[]).flatMap(({ name, expect }) =>
    (expect.deps ?? []).flatMap(dep => (dep.content ? [{ ...dep, name, content: dep.content }] : [])),
  ),
);

test(`content keys of inputs: ${deps.length} vectors`, {
  skip: process.getuid?.() === 0 ? false : 'the files belong to root',
}, async () => {
  await using store = await testingStore();
  const ref = await store.make(directory => {
    for (const { path, kind, mode, target, content } of read('sample-tree.json').entries as Entry[]) {
      const place = join(directory, path);
      if (kind === 'symlink') symlinkSync(target ?? '', place);
      else if (kind === 'dir') mkdirSync(place);
      else writeFileSync(place, content?.text ?? '');
      if (mode !== undefined && kind !== 'symlink') chmodSync(place, Number.parseInt(mode, 8));
    }
  });
  const seen = new Set<string>();
  for (const { name, content, contentDigest, contentError } of deps) {
    const selectors = content.map(({ path, followLinks = false, wildcard = false, ...patterns }) => {
      const { include = [], exclude = [], required = [] } = patterns;
      return { path, followLinks, wildcard, include, exclude, required };
    });
    const key = contentKey({ ref, index: 0 }, selectors, store.layers, signal);
    if (contentError !== undefined) {
      await assert.rejects(key, (error: Error) => error.message.endsWith(contentError), name);
      continue;
    }
    const { digest, parts } = await key;
    assert.equal(digest, contentDigest, name);
    // What was asked for before is known by its digest alone.
    const asked = selectors.map(selector => JSON.stringify(selector));
    assert.ok(parts.length > 0 || asked.every(query => seen.has(query)), name);
    for (const query of asked) seen.add(query);
  }
});

test('an input without files', async t => {
  await using store = await testingStore();
  const cases: { path: string; contentDigest?: string; error?: string }[] = read('ids.json').emptyInput;
  for (const { path, contentDigest, error } of cases) {
    const selectors = path === '' ? [] : [plainSelector(path, false)];
    const key = contentKey({ ref: scratch, index: 0 }, selectors, store.layers, signal);
    if (error === undefined) assert.equal((await key).digest, contentDigest);
    else await assert.rejects(key, (thrown: Error) => thrown.message.endsWith(error));
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('a key names the files that it is made of', {
  skip: process.getuid?.() === 0 ? false : 'the files belong to root',
}, async () => {
  await using store = await testingStore();
  const ref = await store.make(directory => {
    mkdirSync(join(directory, 'd'));
    writeFileSync(join(directory, 'd/f'), 'x\n', { mode: 0o644 });
    symlinkSync('f', join(directory, 'd/link'));
  });
  const { parts } = await contentKey({ ref, index: 0 }, [plainSelector('/d', true)], store.layers, signal);
  assert.deepEqual(
    parts.map(({ kind, name, value }) => `${kind} ${name} ${value.replace(/[0-9a-f]{64}/, '…')}`),
    ['directory /d 0755 sha256:…', 'file /d/f 0644 sha256:…', 'symlink /d/link 0777 -> f'],
  );
});
