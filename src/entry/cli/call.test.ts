import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCall, shownDockerfile } from './call.ts';
import { UsageError } from './errors.ts';

test('a call has a name and options', () => {
  const check = { request: 'frontend.lint', json: false, ignoreStatus: false };
  assert.deepEqual(parseCall('check'), check);
  assert.deepEqual(parseCall('lint'), check);
  assert.deepEqual(parseCall('check,format=json'), { ...check, json: true });
  assert.deepEqual(parseCall('format=json,check,ignorestatus=true'), { ...check, json: true, ignoreStatus: true });
  assert.deepEqual(parseCall('check,ignorestatus=0'), check);
  assert.equal(parseCall('subrequests.describe')?.request, 'frontend.subrequests.describe');
  for (const build of ['', 'build', 'build,format=json']) assert.equal(parseCall(build), undefined);
});

test('what is no call is refused in the words of buildx', () => {
  const messages = {
    'a,b': 'invalid print value: a,b',
    'check,y=z': 'invalid print field: y=z',
    'check,ignorestatus=x': 'invalid ignorestatus print value: x: strconv.ParseBool: parsing "x": invalid syntax',
    'check,format=jsn': '--call check,format=jsn: unknown format jsn (did you mean json?); it is json or text',
  };
  for (const [text, message] of Object.entries(messages)) {
    assert.throws(
      () => parseCall(text),
      (error: unknown) => error instanceof UsageError && error.message === message,
    );
  }
});

test('a Dockerfile is shown as the command line names it', () => {
  assert.equal(shownDockerfile('.', undefined), 'Dockerfile');
  assert.equal(shownDockerfile('sub/', undefined), 'sub/Dockerfile');
  assert.equal(shownDockerfile('.', 'sub/../x'), 'sub/../x');
  assert.equal(shownDockerfile('.', '-'), 'stdin');
  assert.equal(shownDockerfile('-', undefined), 'stdin');
});
