import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BuildRequestError } from '../builder/frontend-options.ts';
import { type BuildRequest, PLAIN_REQUEST } from '../builder/request.ts';
import { remoteCaches } from './remote-caches.ts';

const { signal } = new AbortController();
const dockerfile = { kind: 'text', text: Buffer.from('FROM scratch') } as const;
const cache = (type: string, ...pairs: (readonly [string, string])[]) => ({
  type,
  attributes: Object.fromEntries(pairs),
});

/** What is said of a request before it goes to a daemon. */
async function said(isOutcrop: boolean, request: Partial<BuildRequest>): Promise<string[]> {
  const texts: string[] = [];
  await remoteCaches(
    { ...PLAIN_REQUEST, dockerfile, ...request },
    { address: 'tcp://there:1', isOutcrop: async () => isOutcrop },
    event => {
      if (event.kind === 'warning') texts.push(Buffer.from(event.short).toString());
    },
    signal,
  );
  return texts;
}

test('what only this engine does with caches is said of other daemons', async () => {
  const ref = ['ref', 'r.example.com/c'] as const;
  const cacheTo = [cache('registry', ref, ['mounts', 'true'], ['merge', '1'])];
  const cacheFrom = [cache('registry', ref, ['max-age', '7d'])];
  assert.deepEqual(await said(true, { cacheTo, cacheFrom }), []);
  assert.deepEqual(await said(false, { cacheTo, cacheFrom }), [
    'mounts=true: no cache mount is exported: the builder tcp://there:1 is not outcrop',
    'merge=true: what the cache held before is replaced: the builder tcp://there:1 is not outcrop',
    'max-age: results of any age are used: the builder tcp://there:1 is not outcrop',
  ]);
  const plain = [cache('registry', ref, ['mounts', 'false'], ['mode', 'max'])];
  assert.deepEqual(await said(false, { cacheTo: plain, cacheFrom: [cache('registry', ref)] }), []);
});

test('cache mounts for a cache that cannot carry them are refused, whatever the daemon is', async () => {
  for (const type of ['inline', 's3', 'gha', 'azblob'])
    await assert.rejects(said(false, { cacheTo: [cache(type, ['mounts', 'true'])] }), BuildRequestError);
});
