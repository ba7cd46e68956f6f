import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration } from './history.ts';

test('durations are written as Go writes them', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [1, '1ns'],
    [1_500, '1.5µs'],
    [250_000_000, '250ms'],
    [1_500_000, '1.5ms'],
    [5_000_000_000, '5s'],
    [90_000_000_000, '1m30s'],
    [60_000_000_000, '1m0s'],
    [3_723_500_000_000, '1h2m3.5s'],
    [-2_000_000, '-2ms'],
  ];
  for (const [nanoseconds, text] of cases) assert.equal(formatDuration(nanoseconds), text);
});
