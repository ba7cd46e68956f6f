import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PatternSyntaxError } from './path-match.ts';
import { compilePatterns, type MatchInfo } from './patterns.ts';

const PATHS = ['a', 'a/b', 'a/b/c', 'a/bc', 'ab/c', 'b', 'b/a', '.git/HEAD', 'x/y/z.md', 'z.md'];
const SETS = [
  ['a'],
  ['a/**'],
  ['**/a'],
  ['*', '!a/b'],
  ['a', '!a/b', 'a/b/c'],
  ['**/*.md', '!x/**'],
  ['[a-b]*', '!*/b'],
  ['**'],
  ['a**b'],
];

test('with the info of the parents the answer is the same as without', () => {
  for (const set of SETS) {
    const matcher = compilePatterns(set);
    for (const path of PATHS) {
      let info: MatchInfo | undefined;
      const names = path.split('/');
      for (let i = 0; i < names.length; i++) info = matcher.match(names.slice(0, i + 1).join('/'), info);
      assert.equal(info?.matched, matcher.matches(path), `${set} on ${path}`);
      assert.equal(matcher.match(path).matched, matcher.matches(path));
    }
  }
});

test('an exception that could change nothing at the directory is not asked again below it', () => {
  const matcher = compilePatterns(['**a', '!b']);
  assert.equal(matcher.matches('b/a', matcher.match('b')), true);
  assert.equal(matcher.matches('b/a'), false);
});

test('escapes and classes have the meaning of RE2', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['\\d*', '7up', true],
    ['\\d*', 'up', false],
    ['[[:alpha:]]x', 'qx', true],
    ['[[:^alpha:]]x', '1x', true],
    ['\\pLx', 'éx', true],
    ['\\PLx', '1x', true],
    ['[\\pL]x', 'éx', true],
    ['\\x41', 'A', true],
    ['\\x{1f600}', '😀', true],
    ['\\pl\\p{Greek}\\P{^Lu}', 'xλA', true],
    ['\\p{Greek}', 'x', false],
    ['\\p{Any}\\p{^any}', '-x', false],
    ['\\p{ASCII}\\P{ascii}\\p{Assigned}', 'aé-', true],
    ['\\p{Letter}\\p{cased letter}\\p{LC}\\p{decimal-number}\\p{Punct}', 'aBc1-', true],
    ['\\p{Gre ek}\\p{Han}', 'λ漢', true],
    ['[\\p{Any}]', '漢', true],
    ['\\Qa.b\\E*', 'a\\.bc', true],
    ['\\101*', 'Az', true],
    ['[!a]', '!', true],
    ['[*]', '^]', true],
    ['?', '😀', true],
    ['a\u2028*', 'a\u2028b', true],
    ['**\\.x', 'a/.x', true],
  ];
  for (const [pattern, path, expected] of cases) {
    assert.equal(compilePatterns([pattern]).matches(path), expected, `${pattern} on ${path}`);
  }
});

test('bars and braces mean what they mean to RE2, since nothing escapes them', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['a|*b', 'ax/y', true],
    ['a|*b', 'x/yb', true],
    ['a|*b', 'x/y', false],
    ['a{2}?', 'aab', true],
    ['a{2}?', 'ab', false],
    ['a{2,}?', 'aaaaab', true],
    ['[ab]{1,2}', 'ab', true],
    ['[ab]{1,2}', 'aba', false],
    ['*.{js,ts}', 'x.{js,ts}', true],
    ['a{01}?', 'a{01}b', true],
    ['a|b', 'a', false],
  ];
  for (const [pattern, path, expected] of cases) {
    assert.equal(compilePatterns([pattern]).matches(path), expected, `${pattern} on ${path}`);
  }
  for (const pattern of ['*{2}', 'a{2}{3}?', 'a{1001}?', 'a{3,2}?', 'a|{2}?']) {
    assert.throws(() => compilePatterns([pattern]).matches('a'), PatternSyntaxError, pattern);
  }
});

test('the syntax is checked up to where `.` stops to match', () => {
  for (const pattern of ['[', '*[', '?[', '.*[]']) {
    assert.throws(() => compilePatterns([pattern]), PatternSyntaxError, pattern);
  }
  for (const pattern of ['a*[', '**/*[z']) {
    const matcher = compilePatterns([pattern]);
    assert.throws(() => matcher.matches('q'), PatternSyntaxError, pattern);
  }
});

test('an expression that RE2 rejects fails when it is used', () => {
  for (const pattern of [
    '[z-a]',
    '\\y*',
    '\\é',
    '\\pY',
    '\\x{110000}',
    '\\p{Gr}',
    '\\p{Grek}',
    '\\p{Unknown}',
    '[[:foo:]]',
  ]) {
    const matcher = compilePatterns([pattern]);
    assert.throws(() => matcher.matches('q'), /^PatternSyntaxError: syntax error in pattern$/, pattern);
  }
});

test('directories without anything below to except need not be entered', () => {
  const matcher = compilePatterns(['*', '!a/b/**', '!c']);
  assert.equal(matcher.mayExceptBelow('a'), true);
  assert.equal(matcher.mayExceptBelow('d'), false);
  assert.equal(matcher.mayExceptBelow('c'), true);
  assert.equal(compilePatterns(['*', '!**/x']).mayExceptBelow('d'), true);
});
