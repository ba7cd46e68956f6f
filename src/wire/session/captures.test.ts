import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { type Channel, channelOver } from '../grpc/channel.ts';
import { first, fromRawHeaders, type Metadata } from '../grpc/metadata.ts';
import { rawBytes } from '../grpc/method.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { type Route, streamRoute } from '../grpc/service.ts';
import { StatusError } from '../grpc/status.ts';
import { hexOf, isDigest } from '../oci/digest.ts';
import { type CapturedStream, readCapture } from '../proto/capture-fixture.ts';
import {
  InfoResponseSchema,
  ReadContentRequestSchema,
  ReadContentResponseSchema,
} from '../proto/gen/containerd/content_pb.ts';
import { bytesMessage } from './bytes-message.ts';
import { contentRoutes, storeById } from './content/content-server.ts';
import { layoutStore } from './content/layout-store.ts';
import { fileSendRoutes, sendFiles } from './file-send.ts';
import { receiveDirectory } from './file-sync.ts';
import { secretsRoutes } from './secrets.ts';
import { sshRoutes } from './ssh.ts';
import { diskTree } from './transfer/disk-tree.ts';

const { signal } = new AbortController();

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-captures-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function connect(t: TestContext, routes: readonly Route[]): Channel {
  const server = createGrpcServer(routes);
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  return channel;
}

function messages({ events }: CapturedStream, from: 'client' | 'daemon'): Buffer[] {
  return events.flatMap(e => (e.kind === 'message' && e.from === from ? [Buffer.from(e.hex ?? '', 'hex')] : []));
}

/** What opened the call, without what HTTP/2 and gRPC need. */
function metadataOf({ events }: CapturedStream): Metadata {
  const headers = events.find(e => e.kind === 'headers' && e.from === 'daemon')?.headers ?? [];
  const own = headers.filter(([name]) => !/^(:|grpc-|te$|user-agent$|content-type$)/.test(name));
  return fromRawHeaders(own.flat());
}

/** Makes a recorded call to our client; returns its answers and its status. */
async function replay(channel: Channel, stream: CapturedStream): Promise<{ answers: Buffer[]; status: string }> {
  const method = { path: stream.method, request: rawBytes, response: rawBytes };
  const answers: Buffer[] = [];
  try {
    for await (const answer of channel.stream(method, messages(stream, 'daemon'), { metadata: metadataOf(stream) }))
      answers.push(Buffer.from(answer));
    return { answers, status: '0' };
  } catch (error) {
    if (error instanceof StatusError) return { answers, status: String(error.code) };
    throw error;
  }
}

const isOfSession = ({ method }: CapturedStream): boolean => !/Control|LLBBridge/.test(method);

test('recorded calls for blobs, secrets and agents are answered as buildctl answers them', async t => {
  let count = 0;
  for (const name of ['secrets-ssh-ocilayout', 'cache-import-local']) {
    const streams = readCapture(name).filter(isOfSession);
    const directory = temporaryDirectory(t);
    const blobs = join(directory, 'blobs/sha256');
    mkdirSync(blobs, { recursive: true });
    for (const stream of streams.filter(({ method }) => method.endsWith('Content/Read'))) {
      const { digest } = fromBinary(ReadContentRequestSchema, messages(stream, 'daemon')[0] ?? Buffer.of());
      assert.ok(isDigest(digest));
      const parts = messages(stream, 'client').map(bytes => fromBinary(ReadContentResponseSchema, bytes).data);
      writeFileSync(join(blobs, hexOf(digest)), Buffer.concat(parts));
    }
    const store = layoutStore(directory);
    const channel = connect(t, [
      ...contentRoutes(storeById(id => (/^(oci|local):/.test(id) ? store : undefined))),
      ...secretsRoutes(async id => (id === 's1' ? Buffer.from('topsecret\n') : undefined)),
      ...sshRoutes(async id => (id === 'default' ? { path: '/nowhere' } : undefined)),
    ]);
    for (const stream of streams) {
      const { answers, status } = await replay(channel, stream);
      const trailers = stream.events.find(e => e.kind === 'trailers')?.headers ?? [];
      assert.equal(status, first(fromRawHeaders(trailers.flat()), 'grpc-status'), `${name} ${stream.method}`);
      // The times of our files are not those of the recording.
      const shown = (bytes: Buffer): unknown => {
        if (!stream.method.endsWith('Content/Info')) return bytes.toString('hex');
        const { digest, size } = fromBinary(InfoResponseSchema, bytes).info ?? {};
        return [digest, size];
      };
      const recorded = messages(stream, 'client');
      // One answer was cut off while the second program read the same call.
      const isCut = recorded.some(bytes => stream.method.endsWith('Content/Info') && bytes.length === 0);
      if (!isCut) assert.deepEqual(answers.map(shown), recorded.map(shown), `${name} ${stream.method}`);
      count++;
    }
  }
  t.diagnostic(`${count} of ${count} calls`);
  assert.ok(count >= 10);
});

test('a recorded tar and a recorded tree arrive at the client', async t => {
  const directory = join(temporaryDirectory(t), 'out');
  const received: Buffer[] = [];
  let told: ReadonlyMap<string, string> = new Map();
  const [tar] = readCapture('file-send-oci-tar');
  const [tree] = readCapture('file-send-local');
  assert.ok(tar && tree);
  const tarChannel = connect(
    t,
    fileSendRoutes(
      new Map([
        [
          0,
          {
            kind: 'bytes',
            write: async (bytes, response) => {
              told = response;
              for await (const chunk of bytes) received.push(Buffer.from(chunk));
            },
          },
        ],
      ]),
    ),
  );
  assert.equal((await replay(tarChannel, tar)).status, '0');
  assert.deepEqual(
    Buffer.concat(received),
    Buffer.concat(messages(tar, 'daemon').map(bytes => bytesMessage.decode(bytes))),
  );
  assert.match(told.get('containerimage.digest') ?? '', /^sha256:/);
  assert.match(told.get('containerimage.descriptor') ?? '', /^[A-Za-z0-9+/=]+$/);

  const treeChannel = connect(t, fileSendRoutes(new Map([[0, { kind: 'directory', path: directory }]])));
  const { answers, status } = await replay(treeChannel, tree);
  assert.deepEqual([answers, status], [messages(tree, 'client'), '0']);
  assert.deepEqual(readdirSync(directory), ['a.txt']);
  assert.equal(readFileSync(join(directory, 'a.txt'), 'utf8'), 'alpha\n');

  // And the other direction: what we send of the same tree is what BuildKit sent.
  const sent: Buffer[] = [];
  const session = {
    channel: connect(t, [
      streamRoute({ path: tree.method, request: rawBytes, response: rawBytes }, async function* (requests) {
        for await (const request of requests) {
          sent.push(Buffer.from(request));
          if (request.length === 0) yield messages(tree, 'client')[0] ?? Buffer.of();
          if (sent.length === 4) yield messages(tree, 'client')[1] ?? Buffer.of();
        }
      }),
    ]),
    supports: () => true,
  };
  const files = diskTree(directory, { owner: { uid: 0, gid: 0 } });
  await sendFiles(session, { exporter: 0 }, files, files, signal);
  assert.deepEqual(
    sent.map(b => b.toString('hex')),
    messages(tree, 'daemon').map(b => b.toString('hex')),
  );
  t.diagnostic('2 of 2 results');
});

test('files are asked for with the metadata of BuildKit', async t => {
  let count = 0;
  for (const name of ['file-sync-full', 'file-sync-differential', 'file-sync-encoded-metadata']) {
    for (const stream of readCapture(name)) {
      const recorded = metadataOf(stream);
      const escaped = (key: string): readonly string[] =>
        (recorded.get(key) ?? []).map(v =>
          recorded.has(`${key}-encoded`) ? decodeURIComponent(v.replaceAll('+', ' ')) : v,
        );
      let made: Metadata = new Map();
      const channel = connect(t, [
        streamRoute({ path: stream.method, request: rawBytes, response: rawBytes }, async function* (_requests, call) {
          made = call.metadata;
          yield* [];
          throw new Error('enough');
        }),
      ]);
      const filter = {
        includePatterns: escaped('include-patterns'),
        excludePatterns: escaped('exclude-patterns'),
        followPaths: escaped('followpaths'),
      };
      const request = { name: escaped('dir-name')[0] ?? '', directory: temporaryDirectory(t), filter };
      await assert.rejects(receiveDirectory(channel, request, signal), { message: 'enough' });
      const relevant = (metadata: Metadata) =>
        [...metadata].filter(([key]) => /^(dir-name|include-|exclude-|followpaths)/.test(key)).sort();
      assert.deepEqual(relevant(made), relevant(recorded), name);
      count++;
    }
  }
  t.diagnostic(`${count} of ${count} calls`);
  assert.equal(count, 9);
});
