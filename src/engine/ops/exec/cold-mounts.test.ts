import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openColdMounts } from './cold-mounts.ts';

const { signal } = new AbortController();

test('cold mounts are empty, last as long as the build, and others are left alone', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-cold-'));
  // As a process leaves it that was killed.
  mkdirSync(join(place.path, 'killed'));
  writeFileSync(join(place.path, 'killed.lock'), '');
  using other = openColdMounts(place.path);
  assert.deepEqual(
    readdirSync(place.path).filter(name => name.startsWith('killed')),
    [],
  );
  using theirs = await other.acquire({ id: 'npm', sharing: 'shared' }, signal);
  writeFileSync(join(theirs.path, 'file'), 'x');
  {
    using store = openColdMounts(place.path);
    {
      using first = await store.acquire({ id: 'npm', sharing: 'shared' }, signal);
      assert.deepEqual(readdirSync(first.path), []);
      writeFileSync(join(first.path, 'file'), 'x');
    }
    using second = await store.acquire({ id: 'npm', sharing: 'shared' }, signal);
    assert.deepEqual(readdirSync(second.path), ['file']);
  }
  assert.deepEqual(readdirSync(theirs.path), ['file']);
  assert.equal(readdirSync(place.path).length, 2);
});
