import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lockFile, tryLockFile } from './lock.ts';

describe('file locks', () => {
  let place = '';
  before(() => {
    place = mkdtempSync(join(tmpdir(), 'lock-'));
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  it('are shared or exclusive', () => {
    const path = join(place, 'a');
    const one = tryLockFile(path, 'shared');
    const two = tryLockFile(path, 'shared');
    assert.ok(one !== undefined && two !== undefined);
    assert.equal(tryLockFile(path, 'exclusive'), undefined);
    one[Symbol.dispose]();
    two[Symbol.dispose]();
    using exclusive = tryLockFile(path, 'exclusive');
    assert.equal(exclusive?.mode, 'exclusive');
    assert.equal(tryLockFile(path, 'shared'), undefined);
  });

  it('are waited for', async () => {
    const path = join(place, 'b');
    const first = await lockFile(path, 'exclusive');
    const waiting = lockFile(path, 'exclusive');
    assert.equal(await Promise.race([waiting, delay(20, 'still waiting')]), 'still waiting');
    first[Symbol.dispose]();
    (await waiting)[Symbol.dispose]();
  });

  it('give up when aborted, and leave nothing locked', async () => {
    const path = join(place, 'c');
    const first = await lockFile(path, 'exclusive');
    const reason = new Error('stopped');
    const abort = new AbortController();
    const waiting = lockFile(path, 'exclusive', abort.signal);
    setTimeout(() => abort.abort(reason), 10);
    await assert.rejects(waiting, reason);
    first[Symbol.dispose]();
    using again = tryLockFile(path, 'exclusive');
    assert.ok(again !== undefined);
  });
});
