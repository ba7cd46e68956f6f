import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../store/database.ts';
import { sqliteKeyStore } from '../cache/sqlite-key-store.ts';
import { type FakeStep, fakeWorld } from './fake-steps.ts';

function chain(length: number): FakeStep {
  let top: FakeStep = { name: 'root', does: 'root', inputs: [] };
  for (let index = 1; index < length; index++) {
    top = { name: `${index}`, does: `step ${index}`, inputs: [{ step: top, selector: '/' }] };
  }
  return top;
}

/** Stages of 20 steps on one root, side by side. */
function wide(steps: number): FakeStep {
  const root: FakeStep = { name: 'root', does: 'root', inputs: [] };
  const tops = Array.from({ length: Math.floor(steps / 20) }, (_, stage) => {
    let top = root;
    for (let index = 0; index < 20; index++) {
      top = { name: `${stage} ${index}`, does: `step ${stage} ${index}`, inputs: [{ step: top, selector: '/' }] };
    }
    return top;
  });
  return { name: 'target', does: 'target', inputs: tops.map(step => ({ step, content: true })) };
}

for (const graph of [chain, wide]) {
  test(`a build from the cache takes time in proportion to its steps: ${graph.name}`, async t => {
    const root = mkdtempSync(join(tmpdir(), 'outcrop-solver-'));
    t.after(() => rmSync(root, { recursive: true }));
    using database = openDatabase(root);
    const world = fakeWorld({ keys: sqliteKeyStore(database), parallelism: 64 });
    const build = async (target: FakeStep) => {
      // The processor's time, as other programs may hold up the clock's.
      const started = process.cpuUsage();
      await using job = world.open();
      await job.build(world.edge(target));
      const { user, system } = process.cpuUsage(started);
      return (user + system) / 1000;
    };
    const small = graph(500);
    const large = graph(2000);
    for (const target of [small, large]) await build(target);
    world.ran.length = 0;
    const best = { small: Number.POSITIVE_INFINITY, large: Number.POSITIVE_INFINITY };
    for (let round = 0; round < 6; round++) {
      best.small = Math.min(best.small, await build(small));
      best.large = Math.min(best.large, await build(large));
    }
    assert.deepEqual(world.ran, []);
    t.diagnostic(`500 steps ${best.small.toFixed(1)} ms, 2,000 steps ${best.large.toFixed(1)} ms`);
    assert(best.large < best.small * 12, `${best.small} ms and ${best.large} ms`);
  });
}

test('a chain of 5,000 steps needs no deep stack', async () => {
  const world = fakeWorld();
  let top: FakeStep = { name: 'root', does: 'root', inputs: [] };
  for (let index = 1; index < 5000; index++) {
    top = { name: `${index}`, does: `step ${index}`, inputs: [{ step: top, content: index % 2 === 0 }] };
  }
  for (const expected of [5000, 0]) {
    world.ran.length = 0;
    await using job = world.open();
    await job.build(world.edge(top));
    assert.equal(world.ran.length, expected);
  }
});
