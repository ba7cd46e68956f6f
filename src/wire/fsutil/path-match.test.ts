import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasPathWildcard, matchPath, PatternSyntaxError } from './path-match.ts';

// Cases of the rules of Go's path.Match, written out.
const CASES: readonly (readonly [pattern: string, path: string, expected: boolean])[] = [
  ['', '', true],
  ['', 'a', false],
  ['abc', 'abc', true],
  ['*', '', true],
  ['*', 'abc', true],
  ['*', 'a/b', false],
  ['*c', 'abc', true],
  ['a*', 'ab/c', false],
  ['a*/b', 'abc/b', true],
  ['a*/b', 'a/c/b', false],
  ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/fff', false],
  ['a*b?c*x', 'abxbbxdbxebxczzx', true],
  ['a*b?c*x', 'abxbbxdbxebxczzy', false],
  ['ab[c]', 'abc', true],
  ['ab[b-d]', 'abc', true],
  ['ab[e-g]', 'abc', false],
  ['ab[^c]', 'abc', false],
  ['ab[^e-g]', 'abc', true],
  ['ab[!c]', 'ab!', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'ab', false],
  ['a?b', 'a☺b', true],
  ['a[^a]b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['a?b', 'a/b', false],
  ['a*b', 'a/b', false],
  ['a[/]b', 'a/b', true],
  ['[\\]a]', ']', true],
  ['[\\-]', '-', true],
  ['[x\\-]', '-', true],
  ['[x\\-]', 'z', false],
  ['[z-a]', 'b', false],
  ['**', 'a', true],
  ['**', 'a/b', false],
  ['*x', 'xxx', true],
  ['a[b-d*]', 'a*', true],
  ['𝒳?', '𝒳𝒴', true],
];

test(`path.Match: ${CASES.length} cases`, () => {
  for (const [pattern, path, expected] of CASES) {
    assert.equal(matchPath(pattern, path), expected, `${pattern} against ${path}`);
  }
});

test('malformed patterns fail whatever the path', () => {
  for (const pattern of [
    '[]a]',
    '[-]',
    '[x-]',
    '[-x]',
    '[',
    '[^',
    '[^bc',
    'a[',
    'a[b',
    '\\',
    'a\\',
    '[a-b-c]',
    '*[',
    '[\\',
  ]) {
    assert.throws(() => matchPath(pattern, 'zzz'), PatternSyntaxError, pattern);
  }
});

test('an escaped wildcard is none', () => {
  assert.equal(hasPathWildcard('a\\*b\\[\\?'), false);
  assert.equal(hasPathWildcard('a\\\\*'), true);
});
