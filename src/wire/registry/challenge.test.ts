import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeScopes, parseChallenges } from './challenge.ts';

const read = (headers: string | string[]) =>
  parseChallenges(headers).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test('reads what servers send', () => {
  assert.deepEqual(
    read('Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull,push"'),
    [['bearer', { realm: 'https://auth.example.com/token', service: 'reg', scope: 'repository:a/b:pull,push' }]],
  );
  assert.deepEqual(read('Basic realm="a \\"quoted\\" realm"'), [['basic', { realm: 'a "quoted" realm' }]]);
  assert.deepEqual(read('BASIC Realm = plain , Bearer realm="x"'), [
    ['basic', { realm: 'plain' }],
    ['bearer', { realm: 'x' }],
  ]);
  assert.deepEqual(read(['Basic realm="a"', 'Negotiate']), [
    ['basic', { realm: 'a' }],
    ['negotiate', {}],
  ]);
  assert.deepEqual(read('realm="without scheme"'), []);
  assert.deepEqual(read('Bearer realm="open'), [['bearer', { realm: '"open' }]]);
  assert.deepEqual(parseChallenges(undefined), []);
});

test('merges scopes of one repository', () => {
  assert.deepEqual(
    mergeScopes(['repository:b:pull', 'repository:a:push,pull', 'repository:a:pull repository:b:push']),
    ['repository:a:pull,push', 'repository:b:pull,push'],
  );
  assert.deepEqual(mergeScopes(['repository:host:5000/a:pull']), ['repository:host:5000/a:pull']);
  assert.deepEqual(mergeScopes([]), []);
});
