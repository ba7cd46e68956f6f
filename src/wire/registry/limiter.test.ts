import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLimiter } from './limiter.ts';

const signal = new AbortController().signal;

test('lets so many in and the others wait in order', async () => {
  const limiter = createLimiter(2);
  const first = await limiter.enter(signal);
  await limiter.enter(signal);
  const order: number[] = [];
  const third = limiter.enter(signal).then(() => order.push(3));
  const fourth = limiter.enter(signal).then(place => {
    order.push(4);
    place[Symbol.dispose]();
  });
  await Promise.resolve();
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await third;
  assert.deepEqual(order, [3]);
  (await limiter.enter(AbortSignal.timeout(1)).catch(() => undefined))?.[Symbol.dispose]();
  assert.deepEqual(order, [3]);
  void fourth;
});

test('who gives up loses the place in the queue only', async () => {
  const limiter = createLimiter(1);
  const held = await limiter.enter(signal);
  const controller = new AbortController();
  const gaveUp = limiter.enter(controller.signal);
  const waits = limiter.enter(signal);
  controller.abort(new Error('gave up'));
  await assert.rejects(gaveUp, /gave up/);
  held[Symbol.dispose]();
  (await waits)[Symbol.dispose]();
  await assert.rejects(limiter.enter(controller.signal), /gave up/);
});
