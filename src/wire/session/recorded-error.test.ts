import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import { channelOver } from '../grpc/channel.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { serviceRoutes } from '../grpc/service.ts';
import { StatusError, toStatusMessage } from '../grpc/status.ts';
import { digestOf, hexOf } from '../oci/digest.ts';
import { Control } from '../proto/gen/control/control_pb.ts';
import { StatusSchema } from '../proto/gen/google/rpc/status_pb.ts';
import { contentRoutes } from './content/content-server.ts';
import { layoutStore } from './content/layout-store.ts';
import { recordedError } from './recorded-error.ts';

test('the error of a build comes with all its details from the history', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'outcrop-recorded-'));
  const details = [{ typeUrl: 'github.com/moby/buildkit/errdefs.Source+json', value: Buffer.alloc(200_000, ' ') }];
  const bytes = toBinary(StatusSchema, toStatusMessage(new StatusError(2, 'failed', { details })));
  const digest = digestOf(bytes);
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(directory, 'blobs/sha256', hexOf(digest)), bytes);
  const server = createGrpcServer([
    ...contentRoutes(() => layoutStore(directory)),
    ...serviceRoutes(Control, {
      listenBuildHistory: async function* ({ Ref }) {
        if (Ref === 'good') yield { record: { Ref } };
        if (Ref === 'short') yield { record: { Ref, error: { code: 5, message: 'short' } } };
        if (Ref === 'long') yield { record: { Ref, error: { code: 2, message: 'failed' }, externalError: { digest } } };
      },
    }),
  ]);
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(async () => {
    await Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]);
    rmSync(directory, { recursive: true });
  });
  const { signal } = new AbortController();
  assert.equal(await recordedError(channel, 'good', signal), undefined);
  assert.equal(await recordedError(channel, 'none', signal), undefined);
  assert.deepEqual((await recordedError(channel, 'short', signal))?.code, 5);
  const found = await recordedError(channel, 'long', signal);
  assert.deepEqual([found?.message, found?.details[0]?.value.length], ['failed', 200_000]);
});
