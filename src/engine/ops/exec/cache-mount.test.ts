import assert from 'node:assert/strict';
import { existsSync, mkdtempDisposableSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../../wire/oci/digest.ts';
import { type CacheSharing, openCacheMounts } from './cache-mount.ts';

const signal = new AbortController().signal;

function inStore(
  run: (
    acquire: (sharing: CacheSharing, id?: string) => ReturnType<ReturnType<typeof openCacheMounts>['acquire']>,
  ) => Promise<void>,
) {
  return async () => {
    using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
    const store = openCacheMounts(place.path);
    await run((sharing, id = 'id') => store.acquire({ id, sharing }, signal));
  };
}

test(
  'all who share see one directory, also when one before it has become free',
  inStore(async acquire => {
    const alone = await acquire('private');
    using first = await acquire('shared');
    alone[Symbol.dispose]();
    using second = await acquire('shared');
    assert.notEqual(first.path, alone.path);
    assert.equal(second.path, first.path);
  }),
);

test(
  'a private cache in use gets a sibling, and a free one is taken again',
  inStore(async acquire => {
    const first = await acquire('private');
    const second = await acquire('private');
    assert.notEqual(first.path, second.path);
    writeFileSync(join(second.path, 'kept'), 'x');
    second[Symbol.dispose]();
    using third = await acquire('private');
    assert.equal(readFileSync(join(third.path, 'kept'), 'utf8'), 'x');
    first[Symbol.dispose]();
  }),
);

test(
  'a locked cache is waited for',
  inStore(async acquire => {
    const first = await acquire('locked');
    let got = false;
    const waiting = acquire('locked').then(mount => {
      got = true;
      return mount;
    });
    await new Promise(resolve => setTimeout(resolve, 150));
    assert.equal(got, false);
    first[Symbol.dispose]();
    using second = await waiting;
    assert.equal(second.path, first.path);
  }),
);

test(
  'ids have caches of their own',
  inStore(async acquire => {
    using first = await acquire('shared');
    using second = await acquire('shared', 'other');
    assert.notEqual(first.path, second.path);
  }),
);

test('a cache that was given up is empty for who comes, and as it was for who uses it', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const store = openCacheMounts(place.path);
  const seed = { identity: digestOf('seed'), fill: async (to: string) => writeFileSync(join(to, 'seeded'), '') };
  const used = await store.acquire({ id: 'id', sharing: 'locked' }, signal);
  writeFileSync(join(used.path, 'kept'), '');
  for (const request of [{ id: 'id', sharing: 'locked', seed } as const, { id: 'id2', sharing: 'shared' } as const]) {
    using mount = await store.acquire(request, signal);
    writeFileSync(join(mount.path, 'kept'), '');
  }
  const seen = async (request: Parameters<typeof store.acquire>[0]) => {
    using mount = await store.acquire(request, signal);
    return readdirSync(mount.path);
  };
  await store.giveUp('id', false, signal);
  assert.deepEqual(readdirSync(used.path), ['kept']);
  assert.deepEqual(await seen({ id: 'id', sharing: 'locked' }), []);
  used[Symbol.dispose]();
  {
    using now = await store.acquire({ id: 'id', sharing: 'shared' }, signal);
    assert.equal(existsSync(used.path), false);
    writeFileSync(join(now.path, 'new'), '');
  }
  assert.deepEqual(await seen({ id: 'id', sharing: 'shared' }), ['new']);
  assert.deepEqual(await seen({ id: 'id', sharing: 'locked', seed }), ['kept', 'seeded']);
  await store.giveUp('id', true, signal);
  assert.deepEqual(await seen({ id: 'id', sharing: 'locked', seed }), ['seeded']);
  assert.deepEqual(await seen({ id: 'id', sharing: 'shared' }), ['new']);
  assert.deepEqual(await seen({ id: 'id2', sharing: 'shared' }), ['kept']);
  await store.giveUp('nobody', false, signal);
});

test('a seed that fails leaves no cache', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const store = openCacheMounts(place.path);
  const request = (fill: (directory: string) => Promise<void>) => ({
    id: 'id',
    sharing: 'shared' as const,
    seed: { identity: 's', fill },
  });
  await assert.rejects(
    store.acquire(
      request(async directory => {
        writeFileSync(join(directory, 'half'), '');
        throw new Error('no');
      }),
      signal,
    ),
    /no/,
  );
  using mount = await store.acquire(
    request(async directory => writeFileSync(join(directory, 'whole'), '')),
    signal,
  );
  assert.ok(existsSync(join(mount.path, 'whole')) && !existsSync(join(mount.path, 'half')));
});

test('a cache says what it is', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cache-'));
  const request = { id: 'id', sharing: 'shared', description: 'what it is' } as const;
  using mount = await openCacheMounts(place.path).acquire(request, signal);
  assert.equal(readFileSync(join(mount.path, '../about'), 'utf8'), 'what it is');
  assert.equal(readFileSync(join(mount.path, '../../id'), 'utf8'), 'id');
});
