import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainArguments } from './argument-forms.ts';
import { UsageError } from './errors.ts';
import { createProgram } from './program.ts';

const plain = (...words: string[]) => plainArguments(createProgram(), words);

test('a flag may say whether it is set, and the last word counts', () => {
  assert.deepEqual(plain('build', '--push=true', '--no-cache=1', '.'), ['build', '--push', '--no-cache', '.']);
  assert.deepEqual(plain('build', '--push=false', '--pull=F', '.'), ['build', '.']);
  assert.deepEqual(plain('b', '--load', '--load=false', '.'), ['b', '.']);
  assert.deepEqual(plain('build', '-q', '--quiet=0', '.'), ['build', '.']);
  assert.deepEqual(plain('build', '-q=false', '-D=true', '.'), ['build', '--debug', '.']);
  assert.deepEqual(plain('build', '--load=false', '--load', '.'), ['build', '--load', '.']);
  assert.deepEqual(plain('build', '--rm=0', '--rm=true', '.'), ['build', '--rm', '.']);
  assert.deepEqual(plain('build', '--rm=f', '.'), ['build', '--rm=false', '.']);
  assert.deepEqual(plain('cache', 'inspect', '--json=true', 'dir'), ['cache', 'inspect', '--json', 'dir']);
});

test('a short flag may have = before its value', () => {
  assert.deepEqual(plain('build', '-t=me/app:1', '-fx', '.'), ['build', '-t', 'me/app:1', '-fx', '.']);
});

test('a flag with an empty value is not given', () => {
  assert.deepEqual(plain('build', '--cache-from', '', '-o=', '--file=', '-t', 'a', '.'), ['build', '-t', 'a', '.']);
  assert.deepEqual(plain('build', '--network', '', ''), ['build', '']);
});

test('values are left as they are', () => {
  for (const words of [
    ['build', '--label', '--push=false', '--load', '.'],
    ['build', '--build-arg=--push=false', '--build-arg', '-t=x', '.'],
    ['build', '--tag=--load', '.', '--', '--push=true'],
    ['biuld', '--push=true'],
    ['build', '--nothing=true', '-', 'x=y'],
    [],
  ])
    assert.deepEqual(plain(...words), words);
});

test('what is neither true nor false is an error that names the flag', () => {
  assert.throws(() => plain('build', '--push=yes', '.'), new UsageError('--push=yes: expected true or false'));
});
