import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './errors.ts';
import { formatAge, formatBytes, parseBytes, parseDuration } from './units.ts';

test('sizes', () => {
  assert.equal(parseBytes('64m', '--shm-size'), 64 * 1024 ** 2);
  assert.equal(parseBytes('1.5GiB', '--shm-size'), 1.5 * 1024 ** 3);
  assert.equal(parseBytes('1024', '--shm-size'), 1024);
  assert.equal(parseBytes('2 KB', '--shm-size'), 2048);
  for (const text of ['', 'm', '-1', '1x', '1mm']) assert.throws(() => parseBytes(text, '--shm-size'), UsageError);
});

test('durations', () => {
  assert.equal(parseDuration('1h30m', '--until'), 5_400_000);
  assert.equal(parseDuration('7d', '--until'), 604_800_000);
  assert.equal(parseDuration('250ms', '--until'), 250);
  for (const text of ['', '7', 'd', '7 days']) assert.throws(() => parseDuration(text, '--until'), UsageError);
});

test('sizes for people', () => {
  assert.equal(formatBytes(0), '0B');
  assert.equal(formatBytes(999), '999B');
  assert.equal(formatBytes(1_068_769), '1.069MB');
  assert.equal(formatBytes(2_000_000_000), '2GB');
});

test('ages for people', () => {
  assert.equal(formatAge(100), 'Less than a second');
  assert.equal(formatAge(61_000), 'About a minute');
  assert.equal(formatAge(3 * 3_600_000), '3 hours');
  assert.equal(formatAge(5 * 86_400_000), '5 days');
});
