/** Every case of the catalogue has a page and a scenario, and every id that is printed is one of them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SURPRISE_IDS } from '../../src/insight/explain/catalogue.ts';

const docs = new URL('../../docs/surprises/', import.meta.url);
const here = new URL('./', import.meta.url);
const read = (base: URL, name: string) => readFileSync(new URL(name, base), 'utf8');
const pages = readdirSync(docs).filter(name => name !== 'README.md');
const ids = pages.map(name => name.replace(/\.md$/, ''));

test(`the catalogue: ${ids.length} pages, each listed, with background, signs and cure`, () => {
  const index = read(docs, 'README.md');
  for (const [number, name] of pages.entries()) {
    const text = read(docs, name);
    assert.ok(text.startsWith(`# ${ids[number]}: `), name);
    assert.match(text, /\n## How to recognise it\n\n\S.*\n## What to do\n\n\S/s, name);
    assert.ok(index.includes(`(${name})`), `${name} is not listed`);
  }
});

test('the catalogue: each id that is printed has a page, each page a scenario', t => {
  for (const id of SURPRISE_IDS) assert.ok(ids.includes(id), `${id} has no page`);
  const tests = readdirSync(here).filter(name => name.endsWith('.test.ts'));
  const titles = tests.flatMap(name =>
    [...read(here, name).matchAll(/^ {2}test\('([a-z, -]+):/gm)].flatMap(([, one]) => one?.split(', ') ?? []),
  );
  for (const id of ids) assert.ok(titles.includes(id), `${id} has no scenario`);
  t.diagnostic(`recognised at a step: ${SURPRISE_IDS.join(', ')}`);
  t.diagnostic(`never met, or told otherwise: ${ids.filter(id => !SURPRISE_IDS.some(one => one === id)).join(', ')}`);
});
