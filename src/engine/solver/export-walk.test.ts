import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryKeyStore } from '../cache/memory-key-store.ts';
import type { Cache } from './cache.ts';
import { walkForExport } from './export-walk.ts';
import { type CacheKey, recordDigest, rootKey } from './key.ts';

const noParts = () => [];

test('what stands on an image can be found by both of its keys, also where a build knew only one in time', async () => {
  const keys = memoryKeyStore();
  const cache: Cache<string> = { id: 'local', keys, results: { exists: () => true, load: async id => id } };
  const [known, twin] = ['known', 'twin'].map(digest => recordDigest(digest, 0));
  assert.ok(known !== undefined && twin !== undefined);
  for (const id of [known, twin]) keys.addResult(id, { id: 'image', createdAt: 0n });
  const image = rootKey<string>('known', 0, noParts);
  image.record = { cache, key: image, resultId: 'image', createdAt: 0n };
  const step: CacheKey<string> = {
    digest: 'step',
    output: 0,
    inputs: [[{ key: image, selector: 'all' }]],
    ids: new Map(),
    parts: noParts,
    records: [],
  };
  const walk = async (ways: 'all' | 'roots') => {
    const records = await walkForExport([step], { mode: 'max', layers: async () => undefined, ways });
    const top = records.find(({ digest }) => digest === recordDigest('step', 0));
    return top?.inputs.map(alternatives => alternatives.map(({ record, selector }) => [record.digest, selector]));
  };
  assert.deepEqual(await walk('roots'), [
    [
      [known, 'all'],
      [twin, 'all'],
    ],
  ]);
  assert.deepEqual(await walk('all'), [[[known, 'all']]], 'as BuildKit exports it elsewhere');
});
