import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { channelOver } from '../grpc/channel.ts';
import { Code } from '../grpc/code.ts';
import { acceptUpgrade, requestUpgrade } from '../grpc/http-upgrade.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { type Route, serviceRoutes } from '../grpc/service.ts';
import { StatusError } from '../grpc/status.ts';
import { PolicyVerifier } from '../proto/gen/control/policysession_pb.ts';
import { Exporter } from '../proto/gen/session/exporter_pb.ts';
import { finalizeExport, findExporters } from './exporter.ts';
import { fileMetadata, readFileMetadata } from './file-metadata.ts';
import { fileSendRoutes, type ResultTarget, sendBytes, sendFiles } from './file-send.ts';
import { fileSyncRoutes, receiveDirectory, sharedDirectory } from './file-sync.ts';
import { openSessionOver } from './open-session.ts';
import { checkPolicy } from './policy.ts';
import { fetchSecret, secretsRoutes } from './secrets.ts';
import { SessionError } from './session.ts';
import { sessionHeaders } from './session-headers.ts';
import { createSessionManager } from './session-manager.ts';
import { checkAgent, forwardAgent, sshRoutes } from './ssh.ts';
import { diskTree } from './transfer/disk-tree.ts';
import { createUploads, isUploadUrl, pullUpload } from './upload.ts';

const { signal } = new AbortController();

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-session-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A session whose client serves these routes. */
function session(t: TestContext, routes: readonly Route[]) {
  const server = createGrpcServer(routes, { limit: 4 * 1024 * 1024 });
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  return { channel, supports: (method: string) => server.methods.includes(method) };
}

const disk = (path: string) => {
  const tree = diskTree(path, { owner: { uid: 0, gid: 0 } });
  return sharedDirectory(tree, tree);
};

test('files of a directory, filtered, and again what changed', async t => {
  const [from, to] = [temporaryDirectory(t), temporaryDirectory(t)];
  mkdirSync(join(from, 'src'));
  for (const name of ['src/a.ts', 'src/b.ts', 'src/größe', 'note.md']) writeFileSync(join(from, name), name);
  symlinkSync('src/b.ts', join(from, 'link'));
  const progress = new Map<string, number>();
  const { channel } = session(
    t,
    fileSyncRoutes(
      name => (name === 'context' ? disk(from) : undefined),
      (name, bytes) => progress.set(name, bytes),
    ),
  );
  const filter = { excludePatterns: ['*.md', 'src/größe'], followPaths: ['src/a.ts', 'link', 'note.md'] };
  let received = 0;
  const request = { name: 'context', directory: to, filter, onProgress: (bytes: number) => (received = bytes) };
  if (process.getuid?.() === 0) {
    await receiveDirectory(channel, request, signal);
    assert.deepEqual(readdirSync(to, { recursive: true }).sort(), ['link', 'src', 'src/a.ts', 'src/b.ts']);
    assert.ok((progress.get('context') ?? 0) > 100 && received > 100);
    const first = received;
    await receiveDirectory(channel, request, signal);
    assert.ok(received < first);
  }
  await assert.rejects(receiveDirectory(channel, { ...request, name: 'other' }, signal), {
    code: Code.notFound,
    message: 'no access allowed to dir "other"',
  });
  await assert.rejects(
    receiveDirectory(channel, { ...request, filter: { includePatterns: ['['] } }, signal),
    /invalid includepatterns: \[\[\]/,
  );
});

test('what a daemon asks for travels whatever its characters', () => {
  const request = {
    name: 'ein Name',
    includePatterns: ['a', 'b c', 'd,e'],
    excludePatterns: ['größe/*', '(x)!', ' blank '],
    followPaths: [],
  };
  const metadata = new Map([...fileMetadata(request)].map(([name, value]) => [name, [value].flat()]));
  assert.deepEqual(metadata.get('exclude-patterns'), ['gr%C3%B6%C3%9Fe%2F%2A', '%28x%29%21', '+blank+']);
  assert.deepEqual(metadata.get('include-patterns'), request.includePatterns);
  assert.deepEqual(readFileMetadata(metadata), request);
});

test('results go to directories', async t => {
  const [from, to] = [temporaryDirectory(t), join(temporaryDirectory(t), 'new', 'out')];
  writeFileSync(join(from, 'a'), 'a');
  const targets = new Map<number, ResultTarget>([[1, { kind: 'directory', path: to }]]);
  const client = session(t, fileSendRoutes(targets));
  const tree = diskTree(from);
  await sendFiles(client, { exporter: 1 }, tree, tree, signal);
  writeFileSync(join(to, 'kept'), '');
  rmSync(join(from, 'a'));
  writeFileSync(join(from, 'b'), 'b');
  const again = diskTree(from);
  await sendFiles(client, { exporter: 1 }, again, again, signal);
  assert.deepEqual(readdirSync(to).sort(), ['a', 'b', 'kept']);

  targets.set(1, { kind: 'directory', path: to, mirror: true });
  const send = (multiPlatform: boolean) => {
    const third = diskTree(from);
    return sendFiles(client, { exporter: 1, multiPlatform }, third, third, signal);
  };
  await assert.rejects(send(false), /mode=delete requires a BuildKit daemon with multi-platform/);
  await send(true);
  assert.deepEqual(readdirSync(to), ['b']);
  await assert.rejects(sendFiles(client, { exporter: 7 }, again, again, signal), { message: 'exporter 7 not found' });
  await assert.rejects(sendFiles(session(t, []), { exporter: 0 }, again, again, signal), SessionError);
});

test('results go to writers', async t => {
  const written: Buffer[] = [];
  const told: Record<string, string>[] = [];
  const target: ResultTarget = {
    kind: 'bytes',
    write: async (bytes, response) => {
      told.push(Object.fromEntries(response));
      if (response.get('image.name') === 'there') throw new StatusError(Code.alreadyExists, 'target already exists');
      for await (const chunk of bytes) written.push(Buffer.from(chunk));
    },
  };
  const client = session(t, fileSendRoutes(new Map([[0, target]])));
  const tar = Buffer.alloc(5 * 1024 * 1024, 'tar ');
  const bytes = () =>
    (async function* () {
      yield tar;
    })();
  assert.equal(await sendBytes(client, { exporter: 0 }, { 'image.name': 'x' }, bytes(), signal), 'written');
  assert.ok(Buffer.concat(written).equals(tar));
  assert.equal(await sendBytes(client, { exporter: 0 }, { 'image.name': 'there' }, bytes(), signal), 'exists');
  assert.deepEqual(told, [{ 'image.name': 'x' }, { 'image.name': 'there' }]);
});

test('secrets', async t => {
  const secrets = new Map([
    ['a', Buffer.from('value')],
    ['large', Buffer.alloc(500 * 1024 + 1)],
  ]);
  const { channel } = session(
    t,
    secretsRoutes(async id => secrets.get(id)),
  );
  assert.equal(Buffer.from((await fetchSecret(channel, 'a', signal)) ?? []).toString(), 'value');
  assert.equal(await fetchSecret(channel, 'b', signal), undefined);
  await assert.rejects(fetchSecret(channel, 'large', signal), { message: 'invalid secret size 512001' });
  assert.equal(await fetchSecret(session(t, []).channel, 'a', signal), undefined);
});

function message(type: number, body = ''): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.writeUInt32BE(1 + body.length);
  bytes[4] = type;
  bytes.write(body, 5);
  return bytes;
}

async function listen(t: TestContext, path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, onConnection).listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  return server;
}

/** A socket in front of a forwarded agent, as a step has it. */
async function stepSocket(t: TestContext, client: ReturnType<typeof session>, id: string): Promise<Socket> {
  const path = join(temporaryDirectory(t), 'step.sock');
  await listen(t, path, socket => void forwardAgent(client.channel, id, socket, signal));
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += chunk.toString('latin1');
  return text;
}

test('an agent can be used and not changed', async t => {
  const path = join(temporaryDirectory(t), 'agent.sock');
  const asked: number[] = [];
  await listen(t, path, async socket => {
    socket.on('end', () => socket.end());
    socket.on('data', (data: Buffer) => {
      asked.push(data[4] ?? 0);
      socket.write(message(12, `keys${asked.length}`));
    });
  });
  const client = session(
    t,
    sshRoutes(async id => (id === 'default' ? { path } : undefined)),
  );
  await checkAgent(client.channel, '', signal);
  await assert.rejects(checkAgent(client.channel, 'x', signal), { message: 'unset ssh forward key x' });

  const socket = await stepSocket(t, client, '');
  const answers = readAll(socket);
  // List, add a key, sign, lock, an extension; cut anywhere.
  const bytes = Buffer.concat([message(11), message(17, 'key'), message(13, 'data'), message(22), message(27, 'x')]);
  socket.write(bytes.subarray(0, 7));
  await delay(10);
  socket.end(bytes.subarray(7));
  const refusal = '\0\0\0\u0001\u0005';
  assert.equal(
    await answers,
    [
      message(12, 'keys1').toString('latin1'),
      refusal,
      message(12, 'keys2').toString('latin1'),
      refusal,
      '\0\0\0\u0001\u001c',
    ].join(''),
  );
  assert.deepEqual(asked, [11, 13]);

  const refused = await stepSocket(t, client, 'x');
  refused.on('error', () => {});
  refused.on('end', () => refused.end()).resume();
  await once(refused, 'close');
});

test('any socket can be forwarded as it is', async t => {
  const path = join(temporaryDirectory(t), 'raw.sock');
  await listen(t, path, socket => socket.pipe(socket));
  const client = session(
    t,
    sshRoutes(async () => ({ path, raw: true })),
  );
  const socket = await stepSocket(t, client, 'raw');
  const answer = readAll(socket);
  const sent = 'x'.repeat(300_000);
  socket.end(sent);
  assert.equal((await answer).length, sent.length);
});

test('what was piped into the client can be pulled once', async t => {
  const uploads = createUploads();
  const { channel } = session(t, uploads.routes);
  const url = uploads.add(
    (async function* () {
      yield Buffer.alloc(5 * 1024 * 1024, 'x');
    })(),
  );
  assert.ok(isUploadUrl(url));
  let length = 0;
  for await (const chunk of pullUpload(channel, url, signal)) length += chunk.length;
  assert.equal(length, 5 * 1024 * 1024);
  await assert.rejects(
    async () => {
      for await (const _chunk of pullUpload(channel, url, signal));
    },
    { message: `no http response from session for ${url.pathname}` },
  );
});

test('exporters that the client chooses', async t => {
  const done: unknown[] = [];
  const { channel } = session(
    t,
    serviceRoutes(Exporter, {
      findExporters: async ({ refs }) => ({ exporters: [{ Type: 'local', Attrs: { refs: refs.join() } }] }),
      finalizeExport: async ({ exporterResponse }) => {
        done.push(exporterResponse);
        return {};
      },
    }),
  );
  assert.deepEqual(await findExporters(channel, { key: Buffer.from('v') }, ['r1', 'r2'], signal), [
    { type: 'local', attributes: { refs: 'r1,r2' } },
  ]);
  await finalizeExport(channel, { a: 'b' }, signal);
  assert.deepEqual(done, [{ a: 'b' }]);
  const other = session(t, []).channel;
  assert.deepEqual(await findExporters(other, {}, [], signal), []);
  await finalizeExport(other, {}, signal);
});

test('a client decides on sources, after asking more', async t => {
  let calls = 0;
  const { channel } = session(
    t,
    serviceRoutes(PolicyVerifier, {
      checkPolicy: async ({ Source }) => {
        calls++;
        if (Source?.Image !== undefined)
          return { result: { case: 'decision', value: { action: 1, denyMessages: [{ message: 'no' }] } } };
        return { result: { case: 'request', value: { Source: Source?.Source ?? {} } } };
      },
    }),
  );
  const source = { Source: { identifier: 'docker-image://docker.io/library/alpine:3' } };
  const question = { source, capabilities: ['source.image'], platform: { OS: 'linux', Architecture: 'amd64' } };
  const decision = await checkPolicy(
    channel,
    question,
    async ({ Source }) => ({ ...(Source ? { Source } : {}), Image: { Digest: 'sha256:x' } }),
    signal,
  );
  assert.deepEqual([decision.action, decision.denyMessages[0]?.message, calls], [1, 'no', 2]);
  await assert.rejects(
    checkPolicy(channel, question, async () => source, signal),
    { message: 'too many policy requests' },
  );
});

test('sessions and calls over an HTTP upgrade', async t => {
  const manager = createSessionManager();
  t.after(() => manager[Symbol.asyncDispose]());
  const http = createHttpServer();
  http.on('upgrade', (request, socket, head) => {
    try {
      const { connection, metadata } = acceptUpgrade(request, socket, head);
      void manager.attach(connection, metadata, signal);
    } catch (error) {
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nContent-Length: ${(error as Error).message.length}\r\n\r\n${(error as Error).message}`,
      );
    }
  });
  http.listen(0, 'localhost');
  await once(http, 'listening');
  t.after(() => http.close());
  const address = http.address();
  assert.ok(typeof address === 'object' && address !== null);
  const dial = async () => {
    const socket = connect(address.port, 'localhost');
    await once(socket, 'connect');
    return socket;
  };
  const opened = await openSessionOver(
    async offer => requestUpgrade(await dial(), '/session', sessionHeaders(offer), signal),
    { routes: secretsRoutes(async id => Buffer.from(id)), sharedKey: 'k' },
  );
  const { channel, sharedKey } = await manager.get(opened.id, signal);
  assert.equal(Buffer.from((await fetchSecret(channel, 's', signal)) ?? []).toString(), 's');
  assert.equal(sharedKey, 'k');
  await opened[Symbol.asyncDispose]();
  await assert.rejects(requestUpgrade(await dial(), '/session', [['upgrade', 'websocket']], signal), {
    message: '/session: 400 protocol websocket not supported',
  });
});
