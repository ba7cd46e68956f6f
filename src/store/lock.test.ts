import assert from 'node:assert/strict';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownStore, ownStoreBesideBuilds, shareStore } from './lock.ts';

const { signal } = new AbortController();
const none = () => undefined;

test('who prunes beside its builds is alone, and nobody takes the store for abandoned meanwhile', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-lock-'));
  const held = await shareStore(place.path, none, signal);
  const other = await shareStore(place.path, none, signal);
  let recovered = 0;
  let isAlone = false;
  const pruning = ownStoreBesideBuilds(
    place.path,
    held,
    async () => {
      isAlone = true;
      await assert.rejects(
        shareStore(place.path, () => recovered++, AbortSignal.timeout(10)),
        { name: 'TimeoutError' },
      );
    },
    signal,
  );
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.equal(isAlone, false, 'the other build is waited for');
  other[Symbol.dispose]();
  // Between the share that was given up and the lock that is waited for, somebody may come.
  const pruned = await pruning;
  assert.ok(pruned);
  assert.deepEqual([isAlone, recovered, pruned.outcome.status, pruned.share.mode], [true, 0, 'fulfilled', 'shared']);
  await assert.rejects(ownStore(place.path, AbortSignal.timeout(10)), { name: 'TimeoutError' });
  pruned.share[Symbol.dispose]();
  using _own = await ownStore(place.path, signal);
});

test('whoever waits to prune alone has the turn, and the share is kept', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-lock-'));
  using held = await shareStore(place.path, none, signal);
  const stop = new AbortController();
  const waiting = ownStore(place.path, stop.signal);
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.equal(await ownStoreBesideBuilds(place.path, held, async () => assert.fail('not to run'), signal), undefined);
  stop.abort();
  await assert.rejects(waiting);
});

test('what fails beside builds gives the share back', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-lock-'));
  const held = await shareStore(place.path, none, signal);
  const fail = async () => {
    throw new Error('no');
  };
  const pruned = await ownStoreBesideBuilds(place.path, held, fail, signal);
  assert.equal(pruned?.outcome.status, 'rejected');
  pruned?.share[Symbol.dispose]();
});
