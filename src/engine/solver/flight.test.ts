import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flight } from './flight.ts';

function blocked() {
  let runs = 0;
  const ended: string[] = [];
  const gates: (() => void)[] = [];
  const work = async (signal: AbortSignal) => {
    runs += 1;
    const run = runs;
    const gate = Promise.withResolvers<void>();
    gates.push(gate.resolve);
    signal.addEventListener('abort', () => setImmediate(() => gate.reject(signal.reason)));
    try {
      await gate.promise;
      return run;
    } finally {
      ended.push(signal.aborted ? `${run} aborted` : `${run} done`);
    }
  };
  return { work, ended, open: () => gates.at(-1)?.() };
}

test('all who join get the outcome of one run', async () => {
  const { work, open } = blocked();
  const one = flight(work);
  const { signal } = new AbortController();
  const both = Promise.all([one.join(signal), one.join(signal)]);
  await Promise.resolve();
  open();
  assert.deepEqual(await both, [1, 1]);
  assert.equal(await one.join(signal), 1);
});

test('who leaves does not wait, and the work goes on for the others', async () => {
  const { work, ended, open } = blocked();
  const one = flight(work);
  const leaver = new AbortController();
  const stays = one.join(new AbortController().signal);
  const left = one.join(leaver.signal);
  await Promise.resolve();
  leaver.abort(new Error('left'));
  await assert.rejects(left, /left/);
  assert.deepEqual(ended, []);
  open();
  assert.equal(await stays, 1);
});

test('who started the work waits for its end, and another starts it anew', async () => {
  const { work, ended, open } = blocked();
  const one = flight(work);
  const leaver = new AbortController();
  const left = one.join(leaver.signal);
  await Promise.resolve();
  leaver.abort(new Error('left'));
  const next = one.join(new AbortController().signal);
  await assert.rejects(left, /left/);
  assert.deepEqual(ended, ['1 aborted']);
  await new Promise(setImmediate);
  open();
  assert.equal(await next, 2);
});

test('a failure is kept', async () => {
  let runs = 0;
  const one = flight(async () => {
    runs += 1;
    throw new Error('broken');
  });
  const { signal } = new AbortController();
  await assert.rejects(one.join(signal), /broken/);
  await assert.rejects(one.join(signal), /broken/);
  assert.equal(runs, 1);
});
