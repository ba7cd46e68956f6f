import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StepRecord } from '../history/build-record.ts';
import { criticalPath } from './critical-path.ts';

function step(times: readonly [start: number, end: number] | undefined, ...inputs: number[]): StepRecord {
  const timed = times === undefined ? {} : { start: times[0], duration: times[1] - times[0] };
  return { digest: '', name: '', inputs, places: [], definitions: [], keys: [], ...timed };
}

test('the path goes by edges and real ends, and tells where a step waited for its turn', () => {
  const steps = [
    step([0, 10]), // look-up
    step([10, 30]), // source
    step([30, 90], 1),
    step([30, 40], 1),
    step([95, 120], 2, 3),
    step([120, 130]), // export
  ];
  assert.deepEqual(criticalPath(steps), [
    { step: 0, waited: 0 },
    { step: 1, waited: 0 },
    { step: 2, waited: 0 },
    { step: 4, waited: 5 },
    { step: 5, waited: 0 },
  ]);
});

test('a step that was found is shown when it is needed: what was waited for is below it', () => {
  const found: StepRecord = { ...step([90, 91], 0), outcome: 'hit', cached: true };
  const path = criticalPath([step([0, 10]), found, step([10, 90], 0), step([92, 100], 1, 2)]);
  assert.deepEqual(
    path.map(({ step: at }) => at),
    [0, 2, 3],
  );
  const pulled: StepRecord = { ...found, start: 10, duration: 85, end: 96 };
  assert.deepEqual(
    criticalPath([step([0, 10]), pulled, step([10, 90], 0), step([97, 100], 1, 2)]).map(({ step: at }) => at),
    [0, 1, 3],
  );
});

test('steps that nothing was seen of are looked through, and a pause counts', () => {
  const paused = { ...step([0, 10]), end: 60 };
  assert.deepEqual(
    criticalPath([paused, step(undefined, 0), step([0, 50]), step([60, 70], 1, 2)]).map(({ step: at }) => at),
    [0, 3],
  );
  assert.deepEqual(criticalPath([]), []);
});
