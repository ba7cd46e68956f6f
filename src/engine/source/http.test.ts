import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type DirectoryLayers, directoryLayers } from '../../../test/support/directory-layers.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { createTransport, type Transport } from '../../wire/registry/transport.ts';
import { openDownloadStore } from './download-store.ts';
import { type Download, type HttpSourceOptions, httpOp, resolveHttp } from './http.ts';
import { parseHttpSource } from './http-key.ts';
import { lookUps } from './look-ups.ts';
import { sourceProgress } from './source-progress.ts';

const signal = new AbortController().signal;
const progress = sourceProgress(
  'sha256:vertex',
  () => {},
  () => 0n,
);
const seen: { method: string | undefined; url: string | undefined; headers: IncomingMessage['headers'] }[] = [];
let handle: (request: IncomingMessage, response: ServerResponse) => unknown;
let secrets: Record<string, string> = {};
let base: string;
let root: string;
let database: Database;
let layers: DirectoryLayers;
let transport: Transport;
let options: HttpSourceOptions;

const server = createServer((request, response) => {
  seen.push({ method: request.method, url: request.url, headers: request.headers });
  handle(request, response);
});

before(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  root = mkdtempSync(join(tmpdir(), 'outcrop-http-'));
  database = openDatabase(root);
  layers = directoryLayers(join(root, 'layers'));
  transport = createTransport(5000);
  options = {
    transport,
    downloads: openDownloadStore(database),
    layers,
    secrets: {
      get: async name => {
        const value = secrets[name];
        return value === undefined ? undefined : new TextEncoder().encode(value);
      },
    },
    silence: 5000,
    lookUps: lookUps<Download>(),
  };
});

after(async () => {
  await transport[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
  database[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

/** A download of a build of its own, unless one is given. */
function open(path: string, attrs: Record<string, string> = {}, build = { ...options, lookUps: lookUps<Download>() }) {
  const vertex = { digest: 'sha256:vertex', name: '', inputs: [], ignoreCache: false };
  const platform = { os: 'linux', architecture: 'amd64' };
  return httpOp({ vertex, identifier: `${base}${path}`, attrs, platform }, build, progress);
}

async function fetch(path: string, attrs: Record<string, string> = {}) {
  seen.length = 0;
  const op = open(path, attrs);
  const { map } = await op.cacheMap(0, signal);
  const [ref] = await op.exec([], signal);
  assert.ok(ref?.kind === 'snapshot' && ref.layers.length === 1);
  return { key: map.digest, dir: layers.path(ref.layers[0] ?? ''), methods: seen.map(entry => entry.method).join() };
}

test('a download is a file with its time, mode and owner', async () => {
  handle = (_, response) => response.setHeader('last-modified', 'Wed, 21 Oct 2015 07:28:00 GMT').end('hello');
  const plain = await fetch('/dir/file.txt');
  assert.equal(plain.methods, 'GET');
  assert.equal(readFileSync(join(plain.dir, 'file.txt'), 'utf8'), 'hello');
  const found = statSync(join(plain.dir, 'file.txt'));
  assert.equal(found.mode & 0o7777, 0o600);
  assert.equal(found.mtimeMs, Date.parse('2015-10-21T07:28:00Z'));
  const owned = await fetch('/dir/file.txt', {
    'http.perm': '04755',
    'http.uid': '12',
    'http.gid': '34',
    'http.filename': 'x',
  });
  const { mode, uid, gid } = statSync(join(owned.dir, 'x'));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o4755, 12, 34]);
  handle = (_, response) => response.end('hello');
  assert.equal(statSync(join((await fetch('/x')).dir, 'x')).mtimeMs, 0);
});

test('a checksum saves the question, and is held against the bytes', async () => {
  handle = (_, response) => response.end('hello');
  const pinned = open('/sum', { 'http.checksum': digestOf('hello') });
  seen.length = 0;
  await pinned.cacheMap(0, signal);
  assert.equal(seen.length, 0);
  await pinned.exec([], signal);
  const wrong = open('/sum', { 'http.checksum': digestOf('bye') });
  await assert.rejects(wrong.exec([], signal), /digest mismatch for .*\/sum: sha256:.* \(expected: sha256:/);
});

test('what did not change is not fetched again', async () => {
  let body = 'one';
  handle = (request, response) => {
    const etag = `"${digestOf(body)}"`;
    if (request.headers['if-none-match']?.includes(etag)) return response.writeHead(304, { etag }).end();
    return response.setHeader('etag', `W/${etag}`).end(body);
  };
  const first = await fetch('/tagged');
  const again = await fetch('/tagged');
  assert.equal(again.methods, 'HEAD');
  assert.deepEqual([again.key, again.dir], [first.key, first.dir]);
  body = 'two';
  const changed = await fetch('/tagged');
  assert.equal(changed.methods, 'HEAD,GET');
  assert.notEqual(changed.key, first.key);
  body = 'one';
  assert.equal((await fetch('/tagged')).key, first.key);
  for (const { dir } of [first, changed]) layers.remove(basename(dir));
  assert.equal((await fetch('/tagged')).methods, 'GET', 'a layer that was pruned is fetched anew');
});

test('what a URL was found to be, it stays for the build', async () => {
  let body = 'one';
  handle = (_, response) => response.setHeader('etag', `"${digestOf(body)}"`).end(body);
  const build = { ...options, lookUps: lookUps<Download>() };
  seen.length = 0;
  const { metadata } = await resolveHttp(parseHttpSource(`${base}/moving`, {}), build, progress, signal);
  body = 'two';
  const op = open('/moving', {}, build);
  const { map } = await op.cacheMap(0, signal);
  const [ref] = await op.exec([], signal);
  assert.equal(seen.length, 1);
  assert.equal(metadata.checksum, digestOf('one'));
  assert.ok(ref?.kind === 'snapshot');
  assert.equal(readFileSync(join(layers.path(ref.layers[0] ?? ''), 'moving'), 'utf8'), 'one');
  assert.notEqual((await fetch('/moving')).key, map.digest, 'another build asks anew');
});

test('a failed look-up is made again', async () => {
  const build = { ...options, lookUps: lookUps<Download>() };
  handle = (_, response) => response.writeHead(503).end();
  await assert.rejects(open('/later', {}, build).cacheMap(0, signal), /invalid response status 503/);
  handle = (_, response) => response.end('there');
  await open('/later', {}, build).cacheMap(0, signal);
});

test('what the server compresses is the same file', async () => {
  handle = (_, response) => response.end('hello hello');
  const plain = await fetch('/packed');
  assert.equal(seen[0]?.headers['accept-encoding'], 'gzip');
  handle = (_, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync('hello hello'));
  const packed = await fetch('/packed');
  assert.equal(packed.key, plain.key);
  assert.equal(readFileSync(join(packed.dir, 'packed'), 'utf8'), 'hello hello');
  handle = (_, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync('hello hello').subarray(0, 20));
  await assert.rejects(fetch('/packed'), /cannot reach .*packed/);
});

test('secrets become the header, for the first host only', async () => {
  handle = (request, response) => {
    if (request.url === '/start')
      return response.writeHead(302, { location: `${base.replace('127.0.0.1', 'localhost')}/end` }).end();
    return response.end('x');
  };
  secrets = { 'HTTP_AUTH_TOKEN_127.0.0.1': 'tok\n', own: 'Custom abc' };
  await fetch('/start');
  assert.deepEqual(
    seen.map(entry => entry.headers.authorization),
    ['Bearer tok', undefined],
  );
  await fetch('/direct', {
    'http.authheadersecret': 'own',
    'http.header.accept': 'text/x',
    'http.header.user-agent': 'me',
  });
  const [{ headers } = { headers: {} as IncomingMessage['headers'] }] = seen;
  assert.deepEqual([headers.authorization, headers.accept, headers['user-agent']], ['Custom abc', 'text/x', 'me']);
  secrets = {};
  await assert.rejects(fetch('/direct', { 'http.authheadersecret': 'own' }), /failed to retrieve HTTP auth secret own/);
});

test('failures are told in one line', async () => {
  handle = (_, response) => response.writeHead(404).end();
  await assert.rejects(fetch('/gone'), { message: `${base}/gone: invalid response status 404` });
  handle = (_, response) => response.writeHead(302, { location: '/again' }).end();
  await assert.rejects(fetch('/again'), /stopped after 10 redirects/);
  handle = (_, response) => response.writeHead(200, { 'content-length': 10 }).write('abc', () => response.destroy());
  await assert.rejects(fetch('/cut'), /cannot reach 127\.0\.0\.1:\d+ for .*\/cut: the connection was cut/);
  const nobody = httpOp(
    {
      vertex: { digest: 'sha256:v', name: '', inputs: [], ignoreCache: false },
      identifier: 'http://user:secret@127.0.0.1:1/x',
      attrs: {},
      platform: { os: 'linux', architecture: 'amd64' },
    },
    options,
    progress,
  );
  await assert.rejects(nobody.cacheMap(0, signal), {
    message: 'cannot reach 127.0.0.1:1 for http://xxxxx:xxxxx@127.0.0.1:1/x: connection refused',
  });
});
