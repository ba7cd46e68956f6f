import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { sourcePolicy } from '../../engine/source/source-policy.ts';
import { image, loadDefinition, marshal, merge } from '../../plan/llb/index.ts';
import { channelOver } from '../../wire/grpc/channel.ts';
import { createGrpcServer } from '../../wire/grpc/server.ts';
import { serviceRoutes } from '../../wire/grpc/service.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import {
  type CheckPolicyRequest,
  type CheckPolicyResponseSchema,
  PolicyVerifier,
} from '../../wire/proto/gen/control/policysession_pb.ts';
import { PolicyAction, PolicySchema } from '../../wire/proto/gen/control/sourcepolicy_pb.ts';
import { createSourceJudge } from './source-judge.ts';

type Answer = NonNullable<MessageInitShape<typeof CheckPolicyResponseSchema>['result']>;

const { signal } = new AbortController();
const ALPINE = 'docker-image://docker.io/library/alpine:latest';
const BUSYBOX = 'docker-image://docker.io/library/busybox:latest';
const any = sourcePolicy([]);
const PLATFORM = { os: 'linux', architecture: 'amd64' };

/** A judge whose client answers so; and what that was asked. */
function judgeOf(t: TestContext, answer: (request: CheckPolicyRequest) => Answer) {
  const asked: CheckPolicyRequest[] = [];
  const routes = serviceRoutes(PolicyVerifier, {
    checkPolicy: async request => {
      asked.push(request);
      return { result: answer(request) };
    },
  });
  const server = createGrpcServer(routes, { limit: 4 * 1024 * 1024 });
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  const judge = createSourceJudge({
    session: async () => ({ channel }),
    resolve: async ({ Source }) => ({ ...(Source && { Source }), Image: { Digest: 'sha256:x' } }),
  });
  return { ...judge, asked };
}

const decision = (action: PolicyAction, update?: { identifier: string; attrs: Record<string, string> }): Answer => ({
  case: 'decision',
  value: { action, ...(update && { update }) },
});

test('every source of a graph is decided on once, for its platform', async t => {
  const { judgeAll, asked } = judgeOf(t, () => decision(PolicyAction.ALLOW));
  const definition = marshal(merge([image('alpine'), image('busybox')]), { platform: PLATFORM });
  const policy = await judgeAll(definition, any, signal);
  assert.deepEqual(asked.map(({ Source }) => Source?.Source?.identifier).sort(), [ALPINE, BUSYBOX]);
  assert.equal(asked[0]?.Platform?.Architecture, 'amd64');
  assert.equal(loadDefinition(definition, policy).vertices.length, 3);
});

test('a client may put another source in the place of one, and is asked about that', async t => {
  const { judgeAll, asked } = judgeOf(t, ({ Source }) =>
    Source?.Source?.identifier === ALPINE
      ? decision(PolicyAction.CONVERT, { identifier: BUSYBOX, attrs: { 'image.layerlimit': '1' } })
      : decision(PolicyAction.ALLOW),
  );
  const definition = marshal(image('alpine'), { platform: PLATFORM });
  const { op } = loadDefinition(definition, await judgeAll(definition, any, signal)).head.vertex.op;
  assert.ok(op.case === 'source');
  assert.deepEqual([op.value.identifier, op.value.attrs], [BUSYBOX, { 'image.layerlimit': '1' }]);
  assert.equal(asked.length, 2);
});

test('a denial carries the words of the client', async t => {
  const { judge } = judgeOf(t, () => ({
    case: 'decision',
    value: { action: PolicyAction.DENY, denyMessages: [{ message: 'use busybox instead' }] },
  }));
  const denied = judge({ identifier: ALPINE, attrs: {} }, undefined, any, signal);
  await assert.rejects(denied, (error: unknown) => {
    assert.ok(error instanceof StatusError);
    assert.equal(error.message, `source "${ALPINE}" not allowed by policy: action DENY`);
    const [detail] = error.details;
    assert.equal(detail?.typeUrl, 'github.com/moby/buildkit/policysession.DecisionResponse+json');
    assert.match(Buffer.from(detail?.value ?? []).toString(), /"use busybox instead"/);
    return true;
  });
});

test('a client finds out more of the source it is asked about, and of no other', async t => {
  const source = { identifier: ALPINE, attrs: { a: 'b' } };
  const curious = judgeOf(t, ({ Source }) =>
    Source?.Image === undefined
      ? { case: 'request', value: { ...(Source?.Source && { Source: Source.Source }) } }
      : decision(PolicyAction.ALLOW),
  );
  assert.deepEqual(await curious.judge(source, undefined, any, signal), source);
  assert.equal(curious.asked[1]?.Source?.Image?.Digest, 'sha256:x');
  const other = judgeOf(t, () => ({ case: 'request', value: { Source: { identifier: BUSYBOX } } }));
  await assert.rejects(other.judge(source, undefined, any, signal), /policy requested different source identifier/);
});

test('who never decides is not asked for ever', async t => {
  const { judge, asked } = judgeOf(t, () => decision(PolicyAction.CONVERT, { identifier: ALPINE, attrs: {} }));
  await assert.rejects(judge({ identifier: ALPINE, attrs: {} }, undefined, any, signal), {
    message: 'too many policy requests',
  });
  assert.equal(asked.length, 10);
});

test('the policies of the build come first, and without a session they are all', async () => {
  const rules = [{ action: PolicyAction.DENY, selector: { identifier: ALPINE } }];
  const policy = sourcePolicy([create(PolicySchema, { rules })]);
  const judge = createSourceJudge({ session: undefined, resolve: () => assert.fail('nothing is asked') });
  await assert.rejects(judge.judge({ identifier: ALPINE, attrs: {} }, undefined, policy, signal), /denied by policy/);
  const source = { identifier: BUSYBOX, attrs: {} };
  assert.deepEqual(await judge.judge(source, undefined, policy, signal), source);
});
