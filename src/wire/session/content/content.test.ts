import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Channel, channelOver } from '../../grpc/channel.ts';
import { Code } from '../../grpc/code.ts';
import { methodWith, rawBytes } from '../../grpc/method.ts';
import { createGrpcServer } from '../../grpc/server.ts';
import { type Route, streamRoute } from '../../grpc/service.ts';
import { serviceClient } from '../../grpc/service-client.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { type CapturedStream, readCapture } from '../../proto/capture-fixture.ts';
import {
  Content,
  WriteAction,
  WriteContentRequestSchema,
  WriteContentResponseSchema,
} from '../../proto/gen/containerd/content_pb.ts';
import type { BlobStore } from './blob-store.ts';
import { remoteContent } from './content-client.ts';
import { contentRoutes, storeById } from './content-server.ts';
import { layoutStore } from './layout-store.ts';

const { signal } = new AbortController();
const STORE = [['buildkit-attachable-store-id', 'export']] as const;

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-content-'));
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

function open(t: TestContext): { readonly directory: string; readonly channel: Channel } {
  const directory = temporaryDirectory(t);
  const stores = new Map<string, BlobStore>([['export', layoutStore(directory)]]);
  return { directory, channel: connect(t, contentRoutes(storeById(id => stores.get(id)))) };
}

const blobOf = (bytes: Uint8Array): { readonly digest: Digest; readonly size: number; readonly ref: string } => {
  const digest = digestOf(bytes);
  return { digest, size: bytes.length, ref: `layer-${digest}` };
};

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of bytes) all.push(chunk);
  return Buffer.concat(all);
}

test('a blob is written, found and read', async t => {
  const { directory, channel } = open(t);
  const content = remoteContent(channel, 'export');
  const bytes = Buffer.alloc(2_500_000, 'blob ');
  const blob = blobOf(bytes);
  assert.equal(await content.size(blob.digest, signal), undefined);
  await content.write(blob, () => chunks(bytes.subarray(0, 10), bytes.subarray(10)), signal);
  assert.equal(await content.size(blob.digest, signal), bytes.length);
  assert.ok((await collect(content.read(blob.digest, 0, signal))).equals(bytes));
  assert.ok(
    (await collect(content.read(blob.digest, 1_000_001, signal, 7))).equals(bytes.subarray(1_000_001, 1_000_008)),
  );
  assert.equal((await collect(content.read(blob.digest, bytes.length, signal))).length, 0);
  assert.deepEqual(readdirSync(directory).sort(), ['blobs', 'ingest', 'oci-layout']);
  assert.deepEqual(readdirSync(join(directory, 'ingest')), []);
  assert.ok(readFileSync(join(directory, 'blobs/sha256', blob.digest.slice(7))).equals(bytes));
  // There already: nothing is read.
  await content.write(blob, () => assert.fail('read again'), signal);
  const empty = blobOf(Buffer.of());
  await content.write(empty, () => chunks(), signal);
  assert.equal(await content.size(empty.digest, signal), 0);
  const listed: string[] = [];
  for await (const { info } of serviceClient(Content, channel).list({}, { metadata: STORE }))
    listed.push(...info.map(({ digest }) => digest));
  assert.deepEqual(listed, [blob.digest, empty.digest].sort());
});

test('what is wrong is refused', async t => {
  const { directory, channel } = open(t);
  const content = remoteContent(channel, 'export');
  const bytes = Buffer.from('bytes');
  const blob = blobOf(bytes);
  const other = digestOf('other');
  await assert.rejects(
    content.write({ ...blob, digest: other }, () => chunks(bytes), signal),
    {
      code: Code.failedPrecondition,
      message: `unexpected commit digest ${blob.digest}, expected ${other}: failed precondition`,
    },
  );
  await assert.rejects(
    content.write({ ...blob, ref: 'short', size: 9 }, () => chunks(bytes), signal),
    {
      code: Code.failedPrecondition,
      message: 'unexpected commit size 5, expected 9: failed precondition',
    },
  );
  assert.ok(!existsSync(join(directory, 'blobs/sha256', blob.digest.slice(7))));
  await content.write(blob, () => chunks(bytes), signal);
  await assert.rejects(collect(content.read(blob.digest, 6, signal)), {
    code: Code.outOfRange,
    message: 'read past object length 5 bytes',
  });
  await assert.rejects(collect(content.read(other, 0, signal)), { code: Code.notFound });
  const client = serviceClient(Content, channel);
  await assert.rejects(client.info({ digest: '../../etc/passwd' }, { metadata: STORE }), {
    code: Code.invalidArgument,
  });
  await assert.rejects(client.info({ digest: other }), {
    code: Code.invalidArgument,
    message: 'request lacks metadata "buildkit-attachable-store-id": invalid argument',
  });
  await assert.rejects(remoteContent(channel, 'nope').size(other, signal), {
    message: 'unknown store nope: not found',
  });
});

test('writing can be interrupted and goes on; one writer at a time', async t => {
  const { channel } = open(t);
  const client = serviceClient(Content, channel);
  const bytes = Buffer.from('0123456789');
  const { digest, ref } = blobOf(bytes);
  const ask = async (...requests: object[]) => {
    const answers: { offset: bigint; digest: string }[] = [];
    for await (const answer of client.write(
      (async function* () {
        yield* requests;
      })(),
      { metadata: STORE },
    ))
      answers.push(answer);
    return answers;
  };
  const first = await ask({ ref, total: 10n }, {}, { action: WriteAction.WRITE, data: bytes.subarray(0, 4) });
  assert.deepEqual(
    first.map(a => a.offset),
    [0n, 0n, 4n],
  );
  assert.equal(first[0]?.digest, digestOf(''));
  const { statuses } = await client.listStatuses({}, { metadata: STORE });
  assert.deepEqual(
    statuses.map(s => [s.ref, s.offset]),
    [[ref, 4n]],
  );
  const at9 = { action: WriteAction.WRITE, offset: 9n, data: bytes.subarray(9) };
  await assert.rejects(ask({ ref }, at9), {
    code: Code.outOfRange,
    message: /^write @9 must occur at current offset 4/,
  });
  const [resumed, , end] = await ask(
    { ref, expected: digest },
    { action: WriteAction.WRITE, offset: 4n, data: bytes.subarray(4) },
    { action: WriteAction.COMMIT, total: 10n, offset: 10n, expected: digest },
  );
  assert.deepEqual([resumed?.offset, resumed?.digest, end?.digest], [4n, digestOf('0123'), digest]);
  await assert.rejects(ask({ ref, expected: digest }), {
    code: Code.alreadyExists,
    message: `blob with expected digest ${digest} exists: already exists`,
  });
  await assert.rejects(ask({ total: 1n }), { code: Code.invalidArgument });
  await assert.rejects(client.abort({ ref: 'none' }, { metadata: STORE }), { code: Code.notFound });

  const hold = Promise.withResolvers<void>();
  const holding = client.write(
    (async function* () {
      yield { ref: 'held' };
      await hold.promise;
    })(),
    { metadata: STORE },
  );
  for await (const _answer of holding) {
    await assert.rejects(ask({ ref: 'held' }), { code: Code.unavailable, message: 'ref held locked: unavailable' });
    hold.resolve();
  }
  await ask({ ref: 'held' });
  await client.abort({ ref: 'held' }, { metadata: STORE });
  await client.delete({ digest }, { metadata: STORE });
  await assert.rejects(client.delete({ digest }, { metadata: STORE }), { code: Code.notFound });
});

test('a store that is only read', async t => {
  const { writing: _, ...readOnly } = layoutStore(temporaryDirectory(t));
  const client = serviceClient(
    Content,
    connect(
      t,
      contentRoutes(() => readOnly),
    ),
  );
  await assert.rejects(client.abort({ ref: 'x' }), {
    code: Code.unknown,
    message: 'rpc error: code = Unknown desc = read-only content store',
  });
});

const writes = ['content-write-oci-dir', 'cache-export-local']
  .flatMap(name => readCapture(name))
  .filter(({ method }) => method.endsWith('Content/Write'));

function messages({ events }: CapturedStream, from: 'client' | 'daemon'): Buffer[] {
  return events.flatMap(e => (e.kind === 'message' && e.from === from ? [Buffer.from(e.hex ?? '', 'hex')] : []));
}

/** Whether all bytes of the call were kept, and it wrote something: blobs that are there already are refused at once. */
function isWhole(stream: CapturedStream): boolean {
  const isKept = stream.events.every(e => e.kind !== 'message' || e.hex !== undefined);
  return isKept && messages(stream, 'client').length > 0;
}

test('recorded writes of BuildKit are answered as buildctl answers them', async t => {
  const method = methodWith(Content.method.write, rawBytes);
  let count = 0;
  for (const stream of writes.filter(isWhole)) {
    const { channel } = open(t);
    const answers: Uint8Array[] = [];
    for await (const answer of channel.stream(method, messages(stream, 'daemon'), { metadata: STORE }))
      answers.push(answer);
    const shown = (bytes: Uint8Array): unknown => {
      const { startedAt: _started, updatedAt: _updated, ...rest } = fromBinary(WriteContentResponseSchema, bytes);
      return rest;
    };
    const recorded = messages(stream, 'client').map(shown);
    // Go's server sends the last one twice, when nobody reads any more.
    if (recorded.length > answers.length) recorded.pop();
    assert.deepEqual(answers.map(shown), recorded);
    count++;
  }
  t.diagnostic(`${count} of 8 writes; the bytes of one were not kept`);
  assert.equal(count, 7);
});

test('blobs are written with the requests of BuildKit', async t => {
  let count = 0;
  for (const stream of writes.filter(isWhole)) {
    const recorded = messages(stream, 'daemon').map(bytes => fromBinary(WriteContentRequestSchema, bytes));
    const bytes = Buffer.concat(recorded.map(({ data }) => data));
    const sent: string[] = [];
    const method = methodWith(Content.method.write, rawBytes);
    const answers = messages(stream, 'client');
    const channel = connect(t, [
      streamRoute(method, async function* (requests) {
        for await (const request of requests) {
          sent.push(Buffer.from(request).toString('hex'));
          const { action } = fromBinary(WriteContentRequestSchema, request);
          const answer = answers.find(a => fromBinary(WriteContentResponseSchema, a).action === action);
          yield answer ?? new Uint8Array();
        }
      }),
    ]);
    const ref = recorded[0]?.ref ?? '';
    await remoteContent(channel, 'export').write({ ...blobOf(bytes), ref }, () => chunks(bytes), signal);
    // Ours asks for the state once.
    const needed = recorded.filter(request => request.ref !== '' || request.action !== WriteAction.STAT);
    assert.deepEqual(
      sent,
      needed.map(request => Buffer.from(toBinary(WriteContentRequestSchema, request)).toString('hex')),
    );
    count++;
  }
  t.diagnostic(`${count} of 8 writes; the bytes of one were not kept`);
  assert.equal(count, 7);
});
