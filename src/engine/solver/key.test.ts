import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { memoryKeyStore } from '../cache/memory-key-store.ts';
import { type CacheKey, idIn, recordDigest, rootKey } from './key.ts';

const vectors: { ids: { digest: string; output: number; id: string }[] } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/cache-keys/ids.json', import.meta.url), 'utf8'),
);

test('ids.json: record digests', t => {
  for (const { digest, output, id } of vectors.ids) assert.equal(recordDigest(digest, output), id);
  t.diagnostic(`${vectors.ids.length} of ${vectors.ids.length}`);
});

test('a key that only a session leads to gets an id of the session', () => {
  const store = memoryKeyStore();
  const noParts = () => [];
  const key = (inputs: CacheKey<never>[]): CacheKey<never> => ({
    ...rootKey<never>('sha256:step', 0, noParts),
    inputs: inputs.map(input => [{ key: input, selector: '' }]),
    ids: new Map(),
  });
  const session = rootKey<never>('random:s', 0, noParts);
  const image = rootKey<never>('sha256:image', 0, noParts);
  assert.match(idIn(store, key([session])), /^random:/);
  assert.match(idIn(store, key([image, key([session])])), /^random:/);
  assert.match(idIn(store, key([image, image])), /^[0-9a-z]{25}$/);
});

test('ids of long chains are found without recursion', () => {
  const store = memoryKeyStore();
  let top = rootKey<never>('sha256:root', 0, () => []);
  for (let step = 0; step < 20_000; step++) {
    top = { ...rootKey<never>(`sha256:${step}`, 0, () => []), inputs: [[{ key: top, selector: '' }]] };
  }
  assert.equal(idIn(store, top), idIn(store, top));
});
