import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AttrMatch, MatchType, PolicyAction, PolicySchema } from '../../wire/proto/gen/control/sourcepolicy_pb.ts';
import { SourcePolicyError, sourcePolicy } from './source-policy.ts';

type Rules = MessageInitShape<typeof PolicySchema>['rules'];

const policyOf = (...rules: NonNullable<Rules>) => sourcePolicy([create(PolicySchema, { rules })]);
const image = (name: string) => ({ identifier: `docker-image://docker.io/library/${name}`, attrs: {} });
const { ALLOW, DENY, CONVERT } = PolicyAction;

test('without rules a source stays what it is', () => {
  const source = image('alpine:latest');
  assert.equal(sourcePolicy([])(source), source);
});

test('the last rule that allows or denies counts', () => {
  const all = { identifier: 'docker-image://*' };
  const alpine = { identifier: 'docker-image://docker.io/library/alpine:*' };
  const policy = policyOf({ action: DENY, selector: all }, { action: ALLOW, selector: alpine });
  assert.deepEqual(policy(image('alpine:3')), image('alpine:3'));
  assert.throws(() => policy(image('busybox:1')), {
    name: 'SourcePolicyError',
    message: 'source "docker-image://docker.io/library/busybox:1" denied by policy: source denied by policy',
  });
  const reverse = policyOf({ action: ALLOW, selector: alpine }, { action: DENY, selector: all });
  assert.throws(() => reverse(image('alpine:3')), SourcePolicyError);
});

test('sources are rewritten by wildcard, by expression and by their attributes, and judged anew', () => {
  const wildcard = policyOf({
    action: CONVERT,
    selector: { identifier: 'docker-image://docker.io/library/golang:*', matchType: MatchType.WILDCARD },
    updates: { identifier: 'docker-image://mirror.example/golang:$' + '{1}' },
  });
  assert.equal(wildcard(image('golang:1.19')).identifier, 'docker-image://mirror.example/golang:1.19');

  const expression = policyOf(
    {
      action: CONVERT,
      selector: { identifier: '^docker-image://docker.io/library/(?<name>[a-z]+)', matchType: MatchType.REGEX },
      updates: { identifier: 'docker-image://mirror.example/$name' },
    },
    { action: DENY, selector: { identifier: 'docker-image://mirror.example/bad:*' } },
  );
  assert.equal(expression(image('good:1')).identifier, 'docker-image://mirror.example/good:1');
  assert.throws(() => expression(image('bad:1')), /mirror\.example\/bad:1" denied/);

  const checksum = policyOf({
    action: CONVERT,
    selector: {
      identifier: 'https://example.com/a',
      matchType: MatchType.EXACT,
      constraints: [{ key: 'http.checksum', value: 'sha', condition: AttrMatch.NOTEQUAL }],
    },
    updates: { attrs: { 'http.checksum': 'sha' } },
  });
  assert.deepEqual(checksum({ identifier: 'https://example.com/a', attrs: { x: 'y' } }), {
    identifier: 'https://example.com/a',
    attrs: { x: 'y', 'http.checksum': 'sha' },
  });
});

test('rules that cannot be obeyed are refused', () => {
  const selector = { identifier: 'docker-image://*' };
  const fails = (rules: NonNullable<Rules>, message: RegExp) =>
    assert.throws(() => policyOf(...rules)(image('a:1')), message);
  fails([{ action: CONVERT }], /^SourcePolicyError: invalid nil selector in policy$/);
  fails([{ action: CONVERT, selector }], /missing destination for convert rule/);
  fails([{ action: 9000 as PolicyAction, selector }], /rule 9000 docker-image:\/\/\*: unknown type/);
  fails([{ action: DENY, selector: { identifier: '(', matchType: MatchType.REGEX } }], /invalid regex "\("/);
  fails([{ action: DENY, selector: { identifier: '**' } }], /invalid wildcard/);
  const circle = { action: CONVERT, selector, updates: { identifier: `docker-image://${'$'}{1}x` } };
  fails([circle], /too many mutations on a single source: too many operations/);
});

test('an expression that takes for ever ends', () => {
  const policy = policyOf({ action: DENY, selector: { identifier: '^(a+)+$', matchType: MatchType.REGEX } });
  assert.throws(() => policy({ identifier: `${'a'.repeat(60)}!`, attrs: {} }), /invalid regex .*timed out/);
});

test('a git source is known by where it is fetched from, however it is spelled', () => {
  const identifier = 'git://github.com/user/repo.git#main:absolute/path';
  const policy = policyOf({ action: DENY, selector: { identifier, matchType: MatchType.EXACT } });
  const spelled: readonly (readonly [string, Record<string, string>?])[] = [
    [identifier],
    ['git://github.com/user/repo.git#main:../absolute/path'],
    ['git://github.com/user//repo.git#main:/absolute/path/'],
    ['git://elsewhere/x.git#main:absolute/path', { 'git.fullurl': 'https://github.com/user/repo.git' }],
    ['git://elsewhere/x.git#main:absolute/path', { 'git.fullurl': 'git@github.com:user/repo.git' }],
  ];
  for (const [text, attrs = {}] of spelled)
    assert.throws(() => policy({ identifier: text, attrs }), /denied by policy/, `${text} ${JSON.stringify(attrs)}`);
  const other = { identifier: 'git://github.com/user/repo.git#main:../other', attrs: {} };
  assert.equal(policy(other), other, 'a source that no rule changes keeps its spelling, and so its digest');
});
