import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { channelOver } from '../../wire/grpc/channel.ts';
import { createGrpcServer } from '../../wire/grpc/server.ts';
import { serviceRoutes } from '../../wire/grpc/service.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { chooseBuilder } from './choose-builder.ts';
import type { RemoteConnection } from './remote-build.ts';
import { UnreachableBuilderError } from './remote-error.ts';

const { signal } = new AbortController();

/** A daemon for some architectures that runs some builds; `undefined` for one that keeps no history. */
function daemon(t: TestContext, address: string, architectures: readonly string[], builds?: number): RemoteConnection {
  const record = { platforms: architectures.map(Architecture => ({ OS: 'linux', Architecture })) };
  const server = createGrpcServer(
    serviceRoutes(Control, {
      listWorkers: async () => ({ record: [record] }),
      ...(builds === undefined
        ? {}
        : {
            async *listenBuildHistory({ ActiveOnly, EarlyExit }) {
              assert.ok(ActiveOnly && EarlyExit);
              for (let count = 0; count < builds; count++) yield { record: { Ref: `${count}` } };
            },
          }),
    }),
  );
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  return { address, channel, solving: channel, isOutcrop: async () => false };
}

/** One that does not answer. */
function absent(): RemoteConnection {
  const [near] = duplexPair();
  near.destroy(new Error('nobody'));
  const channel = channelOver(near);
  return { address: 'absent', channel, solving: channel, isOutcrop: async () => false };
}

async function chosen(connections: readonly RemoteConnection[], ...platforms: string[]): Promise<string> {
  return (await chooseBuilder(connections, platforms, signal)).address;
}

test('a build goes to the builder that runs the fewest', async t => {
  const [busy, idle] = [daemon(t, 'busy', ['amd64'], 2), daemon(t, 'idle', ['amd64'], 0)];
  assert.equal(await chosen([busy]), 'busy');
  assert.equal(await chosen([busy, idle]), 'idle');
  assert.equal(await chosen([busy, idle, absent()], 'linux/amd64'), 'idle');
  assert.equal(await chosen([daemon(t, 'untold', ['amd64']), busy]), 'untold');
});

test('a build goes to a builder that has its platforms', async t => {
  const amd = daemon(t, 'amd', ['amd64', 'arm64'], 0);
  const arm = daemon(t, 'arm', ['arm64'], 0);
  assert.equal(await chosen([amd, arm], 'linux/arm64'), 'arm');
  assert.equal(await chosen([arm, amd], 'linux/amd64', 'linux/arm64'), 'amd');
  assert.equal(await chosen([amd, daemon(t, 'busy', ['arm64'], 1)], 'linux/arm64'), 'amd');
  assert.equal(await chosen([amd, arm], 'linux/s390x'), 'amd');
});

test('no builder that answers is an error that tells of the first', async () => {
  await assert.rejects(chosen([absent(), absent()]), UnreachableBuilderError);
});
