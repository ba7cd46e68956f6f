import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { createWorkerPool, WorkerDiedError } from './pool.ts';
import { DigestMismatchError, InvalidArchiveError, StoreUnwritableError } from './store-error.ts';
import { packError, unpackError } from './task.ts';

test('tasks run in threads, more than there are threads', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'outcrop-pool-'));
  await using pool = createWorkerPool(2);
  const files = ['a', 'b', 'c', 'd', 'e'].map(name => join(directory.path, name));
  for (const path of files) writeFileSync(path, path);
  const hashed = await Promise.all(files.map(path => pool.run('hashFile', { path })));
  assert.deepEqual(
    hashed.map(({ digest }) => digest),
    files.map(path => digestOf(path)),
  );
});

test('a task’s error is its caller’s', async () => {
  await using pool = createWorkerPool(1);
  await assert.rejects(pool.run('hashFile', { path: '/nowhere' }), { code: 'ENOENT', syscall: 'open' });
});

test('abort ends waiting and running tasks with the reason', async () => {
  await using pool = createWorkerPool(1);
  const controller = new AbortController();
  const running = pool.run('hashFile', { path: '/dev/zero' }, controller.signal);
  const waiting = pool.run('hashFile', { path: '/dev/zero' }, controller.signal);
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await Promise.all([assert.rejects(running, /enough/), assert.rejects(waiting, /enough/)]);
  assert.equal((await pool.run('hashFile', { path: '/dev/null' })).size, 0);
});

test('a closed pool rejects', async () => {
  const pool = createWorkerPool(1);
  const running = pool.run('hashFile', { path: '/dev/zero' });
  await Promise.all([assert.rejects(running, WorkerDiedError), pool[Symbol.asyncDispose]()]);
  await assert.rejects(pool.run('hashFile', { path: '/dev/null' }), WorkerDiedError);
});

test('idle threads do not keep the process alive, waited-for tasks do', () => {
  const url = JSON.stringify(new URL('./pool.ts', import.meta.url));
  const script = `import { workerPool } from ${url};
    console.log((await workerPool().run('hashFile', { path: '/dev/null' })).size);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 });
  assert.equal(output.toString(), '0\n');
});

test('errors keep class and fields between threads', () => {
  const cases = [
    new DigestMismatchError('blob', 'a', 'b'),
    new StoreUnwritableError('ENOSPC', '/x'),
    new InvalidArchiveError('cut off'),
    Object.assign(new TypeError('odd'), { code: 'EODD', errno: 3 }),
  ];
  for (const error of cases) {
    const back = unpackError(structuredClone(packError(error)));
    assert.equal(back.name, error.name);
    assert.equal(back.message, error.message);
    assert.deepEqual({ ...back }, { ...error });
  }
  assert.ok(unpackError(packError(cases[0])) instanceof DigestMismatchError);
});
