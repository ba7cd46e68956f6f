import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTimeout, parseTimeout } from './timeout.ts';

test('timeouts in every unit', () => {
  const cases: [text: string, milliseconds: number | undefined][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5u', 0.005],
    ['15000000n', 15],
    ['123456789n', undefined],
    ['1', undefined],
    ['-1S', undefined],
    ['', undefined],
  ];
  for (const [text, milliseconds] of cases) assert.equal(parseTimeout(text), milliseconds, text);
});

test('takes the finest unit that has place', () => {
  assert.deepEqual([0, 0.5, 15, 15_000, 1e8, 1e13].map(formatTimeout), [
    '0n',
    '500000n',
    '15000000n',
    '15000000u',
    '100000S',
    '2777778H',
  ]);
});
