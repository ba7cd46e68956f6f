import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTimestamp } from './timestamp.ts';

test('nanoseconds are kept, and only those that are needed', () => {
  assert.equal(formatTimestamp(0n), '1970-01-01T00:00:00Z');
  assert.equal(formatTimestamp(1_500_000_000n), '1970-01-01T00:00:01.5Z');
  assert.equal(formatTimestamp(1_790_042_736_838_674_736n), '2026-09-22T02:05:36.838674736Z');
  assert.equal(formatTimestamp(-1n), '1969-12-31T23:59:59.999999999Z');
});
