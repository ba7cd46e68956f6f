import assert from 'node:assert/strict';
import { test } from 'node:test';
import { semaphore } from './semaphore.ts';

test('slots are given in order, and a heavy waiter is not overtaken', async () => {
  const { signal } = new AbortController();
  const slots = semaphore(2);
  const order: string[] = [];
  const take = async (name: string, weight: number) => {
    const release = await slots.acquire(weight, signal);
    order.push(name);
    return release;
  };
  const first = await take('first', 1);
  const heavy = take('heavy', 5);
  const last = take('last', 1);
  await new Promise(setImmediate);
  assert.deepEqual(order, ['first']);
  first();
  first();
  (await heavy)();
  (await last)();
  assert.deepEqual(order, ['first', 'heavy', 'last']);
});

test('who gives up waiting makes room', async () => {
  const slots = semaphore(1);
  const { signal } = new AbortController();
  const held = await slots.acquire(1, signal);
  const leaver = new AbortController();
  const left = slots.acquire(1, leaver.signal);
  const next = slots.acquire(1, signal);
  leaver.abort(new Error('left'));
  await assert.rejects(left, /left/);
  held();
  (await next)();
  await assert.rejects(slots.acquire(1, AbortSignal.abort(new Error('late'))), /late/);
});

test('no weight needs no slot', async () => {
  const slots = semaphore(1);
  const { signal } = new AbortController();
  await slots.acquire(1, signal);
  (await slots.acquire(0, signal))();
});
