import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  familiarReference,
  formatReference,
  ImageReferenceError,
  isTag,
  parseReference,
  repositoryName,
  withDefaultTag,
  withDigest,
  withTag,
} from './reference.ts';

const HEX = 'a1'.repeat(32);
const DIGEST = `sha256:${HEX}`;

test('normalises, and shortens again', t => {
  const cases: [text: string, canonical: string, familiar: string][] = [
    ['alpine', 'docker.io/library/alpine', 'alpine'],
    ['alpine:3.22', 'docker.io/library/alpine:3.22', 'alpine:3.22'],
    ['user/app', 'docker.io/user/app', 'user/app'],
    ['docker.io/alpine', 'docker.io/library/alpine', 'alpine'],
    ['index.docker.io/alpine', 'docker.io/library/alpine', 'alpine'],
    ['docker.io/library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['localhost/app', 'localhost/app', 'localhost/app'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['host:5000/a/b/c', 'host:5000/a/b/c', 'host:5000/a/b/c'],
    ['127.0.0.1:5000/app', '127.0.0.1:5000/app', '127.0.0.1:5000/app'],
    ['[::1]:5000/app', '[::1]:5000/app', '[::1]:5000/app'],
    ['HOST/app', 'HOST/app', 'HOST/app'],
    [`alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`, `alpine@${DIGEST}`],
    [`a.b/c:t@${DIGEST}`, `a.b/c:t@${DIGEST}`, `a.b/c:t@${DIGEST}`],
    ['a__b-c.d---e', 'docker.io/library/a__b-c.d---e', 'a__b-c.d---e'],
    ['a_b.c/x', 'a_b.c/x', 'a_b.c/x'],
    ['localhost:5000', 'docker.io/library/localhost:5000', 'localhost:5000'],
  ];
  for (const [text, canonical, familiar] of cases) {
    const reference = parseReference(text);
    assert.equal(formatReference(reference), canonical);
    assert.equal(familiarReference(reference), familiar);
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('refuses, in the words of Docker', t => {
  const cases: [text: string, message: string][] = [
    ['', 'invalid reference format'],
    [':tag', 'invalid reference format'],
    ['Alpine', 'invalid reference format: repository name (library/Alpine) must be lowercase'],
    ['user/App:x', 'invalid reference format: repository name (user/App) must be lowercase'],
    [HEX, `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`],
    ['a//b', 'invalid reference format'],
    ['-a', 'invalid reference format'],
    ['a:', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    [`a:${'t'.repeat(129)}`, 'invalid reference format'],
    [`a@sha256:${'a'.repeat(63)}`, 'invalid checksum digest length'],
    [`a@sha256:${'A'.repeat(64)}`, 'invalid checksum digest format'],
    [`a@md5:${'a'.repeat(32)}`, 'unsupported digest algorithm'],
    [`x.y/${'a'.repeat(256)}`, 'repository name must not be more than 255 characters'],
    ['https://host/a', 'invalid reference format'],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseReference(text), { name: 'ImageReferenceError', message }, text);
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('changes tag and digest', () => {
  const reference = parseReference('alpine');
  assert.equal(formatReference(withDefaultTag(reference)), 'docker.io/library/alpine:latest');
  const pinned = withDigest(withTag(reference, 'v1'), `sha256:${HEX}`);
  assert.equal(formatReference(withDefaultTag(pinned)), `docker.io/library/alpine:v1@${DIGEST}`);
  assert.equal(repositoryName(pinned), 'docker.io/library/alpine');
  assert.throws(() => withTag(reference, 'no tag'), ImageReferenceError);
  assert.ok(isTag('_x.1-2'));
  assert.ok(!isTag('.x'));
});
