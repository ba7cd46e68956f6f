import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePlatform } from '../../wire/oci/platform.ts';
import { platformWarnings } from './platform-warnings.ts';

function warnings(asked: string, made: string, isMap = made.includes(',')): string[] {
  return platformWarnings(asked.split(','), { platforms: made.split(',').map(parsePlatform), isMap });
}

test('a result of the platforms that were asked for is not warned of', () => {
  assert.deepEqual(warnings('linux/amd64', 'linux/amd64'), []);
  assert.deepEqual(warnings('linux/arm64/v8', 'linux/arm64'), []);
  assert.deepEqual(warnings('linux/amd64,linux/arm64', 'linux/arm64,linux/amd64'), []);
  assert.deepEqual(warnings('linux/amd64', 'linux/amd64', true), []);
  assert.deepEqual(warnings('windows/amd64', 'windows(10.0.17763)/amd64'), []);
});

test('a result of other platforms is', () => {
  assert.deepEqual(warnings('linux/amd64', 'linux/arm64'), [
    'Requested platform "linux/amd64" does not match result platform "linux/arm64"',
  ]);
  assert.deepEqual(warnings('windows(10.0.1)/amd64', 'windows(10.0.17763)/amd64').length, 1);
  assert.deepEqual(warnings('linux/amd64,linux/arm64', 'linux/amd64'), [
    'Multiple platforms requested but result is not multi-platform',
  ]);
  assert.deepEqual(warnings('linux/amd64', 'linux/arm64,linux/amd64'), [
    'Requested platforms linux/amd64 do not match result platforms linux/amd64,linux/arm64',
  ]);
  assert.deepEqual(warnings('linux/386,linux/arm64', 'linux/arm64,linux/amd64'), [
    'Requested platforms linux/386,linux/arm64 do not match result platforms linux/amd64,linux/arm64',
  ]);
});

test('platforms that are none, or asked for twice, are told alone', () => {
  assert.match(
    warnings('linux/amd64,a/b/c/d/e', 'linux/arm64').join(),
    /^Invalid platform result requested "a\/b\/c\/d\/e": /,
  );
  assert.deepEqual(warnings('linux/arm64,linux/arm64/v8', 'linux/amd64'), [
    'Duplicate platform result requested "linux/arm64/v8"',
  ]);
});
