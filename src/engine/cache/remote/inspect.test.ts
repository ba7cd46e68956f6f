import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fakeMachine } from './fake-build.ts';
import { diffCaches, inspectCache } from './inspect.ts';

const vectors = new URL('../../../../test/vectors/remote-cache/', import.meta.url);
const signal = AbortSignal.timeout(60_000);
const root = mkdtempSync(join(tmpdir(), 'outcrop-inspect-'));
after(() => rmSync(root, { recursive: true, force: true }));

const inspect = (src: string) => inspectCache({ type: 'local', attributes: { src } }, fakeMachine().deps, signal);
const recorded = (name: string) => inspect(fileURLToPath(new URL(name, vectors)));

test('what a cache holds, and what mode=min left out', async () => {
  const [min, max] = [await recorded('two-stages/min'), await recorded('two-stages/max')];
  assert.equal(min.kind, 'cache');
  assert.equal(min.records.length, 7);
  assert.equal(min.records.filter(({ result }) => result !== undefined).length, 2);
  assert.equal(max.records.filter(({ result }) => result !== undefined).length, 4);
  assert(max.layers.every(({ createdAt }) => createdAt !== undefined));
  const difference = diffCaches(max, min);
  assert.deepEqual([difference.onlyInFirst, difference.onlyInSecond, difference.resultOnlyInSecond], [[], [], []]);
  assert.equal(difference.resultOnlyInFirst.length, 2);
});

test('what an image holds, with the instructions that made its layers', async () => {
  const image = await recorded('inline-two-stages/layout');
  assert.equal(image.kind, 'inline');
  assert.deepEqual(image.layers.map(({ description }) => description).sort(), [
    'ADD rootfs.tar / # buildkit',
    'COPY /two /two # buildkit',
    'RUN /bin/sh -c echo three > /three # buildkit',
  ]);
});

test('layers are verified', async () => {
  const directory = join(root, 'cache');
  cpSync(new URL('one-copy/max/', vectors), directory, { recursive: true });
  const cache = await inspect(directory);
  const [layer] = cache.layers;
  assert(layer !== undefined);
  assert.equal(await cache.verify(layer, signal), undefined);
  const path = join(directory, 'blobs/sha256', layer.digest.slice(7));
  writeFileSync(path, Buffer.alloc(layer.size));
  assert.match((await cache.verify(layer, signal)) ?? '', /^it is damaged: its bytes have the digest/);
  writeFileSync(path, 'x');
  assert.equal(await cache.verify(layer, signal), `it ends after 1 of ${layer.size} bytes`);
  rmSync(path);
  assert.match((await cache.verify(layer, signal)) ?? '', /ENOENT/);
});
