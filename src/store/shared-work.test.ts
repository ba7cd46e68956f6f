import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { semaphore, sharedWork } from './shared-work.ts';

const never = new AbortController().signal;

test('work asked for twice is done once, and again when it is over', async () => {
  let runs = 0;
  const work = sharedWork<string, number>(async key => {
    await delay(5);
    return key.length + 100 * runs++;
  });
  assert.deepEqual(await Promise.all([work('ab', never), work('ab', never), work('abc', never)]), [2, 2, 103]);
  assert.equal(await work('ab', never), 202);
});

test('a failure goes to all, and is not kept', async () => {
  let runs = 0;
  const work = sharedWork<string, string>(async () => {
    await delay(1);
    if (runs++ === 0) throw new Error('first');
    return 'second';
  });
  const both = await Promise.allSettled([work('a', never), work('a', never)]);
  assert.deepEqual(
    both.map(result => result.status),
    ['rejected', 'rejected'],
  );
  assert.equal(await work('a', never), 'second');
});

test('work is aborted with its last waiter', async () => {
  let aborted = 0;
  const work = sharedWork<string, string>(async (_, signal) => {
    try {
      await delay(100, undefined, { signal });
    } catch (error) {
      aborted++;
      throw error;
    }
    return 'done';
  });
  const [one, two] = [new AbortController(), new AbortController()];
  const first = work('a', one.signal);
  const second = work('a', two.signal);
  one.abort(new Error('one'));
  await assert.rejects(first, /one/);
  assert.equal(aborted, 0);
  two.abort(new Error('two'));
  await assert.rejects(second, /two/);
  assert.equal(aborted, 1);
  assert.equal(await work('a', never), 'done');
});

test('a semaphore lets so many in, in order, and forgets who gave up', async () => {
  const slots = semaphore(1);
  const held = await slots.take(never);
  const order: string[] = [];
  const controller = new AbortController();
  const waiting = ['a', 'b', 'c'].map(async name => {
    using _slot = await slots.take(name === 'b' ? controller.signal : never);
    order.push(name);
  });
  controller.abort(new Error('gave up'));
  await assert.rejects(waiting[1] ?? Promise.resolve(), /gave up/);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  await Promise.all([waiting[0], waiting[2]]);
  assert.deepEqual(order, ['a', 'c']);
});
