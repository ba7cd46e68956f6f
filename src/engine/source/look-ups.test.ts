import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookUps } from './look-ups.ts';

const { signal } = new AbortController();

test('a name is looked up once', async () => {
  const names = lookUps<number>();
  let asked = 0;
  const find = async () => ++asked;
  assert.deepEqual(await Promise.all([names.ask('a', find, signal), names.ask('a', find, signal)]), [1, 1]);
  assert.equal(await names.ask('a', find, signal), 1);
  assert.equal(await names.ask('b', find, signal), 2);
});

test('a failure is not kept', async () => {
  const names = lookUps<number>();
  await assert.rejects(
    names.ask('a', async () => assert.fail('broken'), signal),
    /broken/,
  );
  assert.equal(await names.ask('a', async () => 1, signal), 1);
});

test('who goes away does not fail the others', async () => {
  const names = lookUps<number>();
  const gone = new AbortController();
  let asked = 0;
  const find = async (inner: AbortSignal) => {
    asked++;
    await new Promise(resolve => setImmediate(resolve));
    inner.throwIfAborted();
    return asked;
  };
  const first = names.ask('a', find, gone.signal);
  const second = names.ask('a', find, signal);
  gone.abort();
  await assert.rejects(first);
  assert.equal(await second, 2);
});
