import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSize } from './legacy-size.ts';

test('sizes have four digits, without zeros at the end', () => {
  const cases: readonly (readonly [bytes: number, text: string])[] = [
    [0, '0B'],
    [512, '512B'],
    [2048, '2.048kB'],
    [5632, '5.632kB'],
    [10_000, '10kB'],
    [12_345_678, '12.35MB'],
    [999_999_999, '1000MB'],
    [1_500_000_000, '1.5GB'],
  ];
  for (const [bytes, text] of cases) assert.equal(formatSize(bytes), text);
});
