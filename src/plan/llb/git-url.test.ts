import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGitReference, parseGitRemote } from './git-url.ts';

test('what names a git repository', () => {
  const yes = [
    'https://github.com/a/b.git',
    'http://host/b.git#main',
    'git://host/b',
    'ssh://git@host:2222/b',
    'git@github.com:a/b.git',
    'github.com/a/b',
    'https://host/b.git?ref=x',
  ];
  const no = [
    './a.git',
    '../a.git',
    'a/b.git',
    'https://host/b',
    'https://host/b.tar#x.git',
    'ftp://host/b.git',
    '/a',
    '',
  ];
  for (const text of yes) assert.ok(parseGitReference(text), text);
  for (const text of no) assert.equal(parseGitReference(text), undefined, text);
});

test('ref and sub directory of a fragment and of a query', () => {
  assert.deepEqual(parseGitReference('https://h/b.git#v1:docs/../x'), {
    remote: 'https://h/b.git',
    looksLikePath: false,
    ref: 'v1',
    subdir: 'x',
  });
  assert.deepEqual(parseGitReference('git@h:b.git?tag=v1&subdir=a/../b&submodules=0&keep-git-dir&mtime=commit#'), {
    remote: 'git@h:b.git',
    looksLikePath: false,
    ref: 'refs/tags/v1',
    subdir: 'a/../b',
    submodules: false,
    keepGitDir: true,
    mtime: 'commit',
  });
  assert.deepEqual(parseGitReference('github.com/a/b#:sub'), {
    remote: 'github.com/a/b',
    looksLikePath: true,
    subdir: 'sub',
  });
});

test('what contradicts itself is refused', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['ref=', 'query "ref" has no value'],
    ['ref=a&ref=b', 'query "ref" has multiple values'],
    ['x=1', 'unexpected query "x"'],
    ['tag=a&branch=b', 'branch conflicts with tag'],
    ['submodules=perhaps', 'invalid submodules value: "perhaps"'],
    ['mtime=x', 'invalid mtime value: "x" (must be "checkout" or "commit")'],
  ];
  for (const [query, message] of cases) {
    assert.throws(() => parseGitReference(`https://h/b.git?${query}`), { name: 'GitUrlError', message });
  }
  assert.throws(() => parseGitReference('https://h/b.git?ref=x#y'), { message: 'ref conflicts: "y" vs "x"' });
});

test('a remote without scheme is https', () => {
  const { remote, host, path } = parseGitRemote('github.com/acme/w');
  assert.deepEqual([remote, host, path], ['https://github.com/acme/w', 'github.com', '/acme/w']);
  assert.throws(() => parseGitRemote('ftp://host/x'), { name: 'GitUrlError' });
});
