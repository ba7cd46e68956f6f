import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startHttpServer } from '../../../test/support/http-server.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestOf } from '../oci/digest.ts';
import { OCI_LAYER, OCI_MANIFEST } from '../oci/media-types.ts';
import { parseReference } from '../oci/reference.ts';
import type { UploadSource } from './blob-upload.ts';
import { createRegistryClient, type RegistryOptions } from './client.ts';

const signal = new AbortController().signal;
const manifest = Buffer.from(`{"schemaVersion":2,"config":{},"layers":[]}`);
const manifestDigest = digestOf(manifest);

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => unknown;

/** A server on loopback that answers as the test says; `seen` lists the requests. */
async function serve(handle: Handler) {
  const seen: { line: string; headers: IncomingMessage['headers']; body: Buffer }[] = [];
  const server = await startHttpServer(async (request, response) => {
    const entry = { line: `${request.method} ${request.url}`, headers: request.headers, body: Buffer.alloc(0) };
    const count = seen.push(entry);
    if (request.method === 'POST') for await (const chunk of request) entry.body = Buffer.concat([entry.body, chunk]);
    await handle(request, response, count);
  });
  const { host } = server;
  return {
    host,
    seen,
    reference: parseReference(`${host}/app:v1`),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const client = (options: RegistryOptions = {}) =>
  createRegistryClient({ ...options, retry: { baseDelay: 1, maxDelay: 2000, attempts: 4, ...options.retry } });

function sendManifest(response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': OCI_MANIFEST,
    'docker-content-digest': manifestDigest,
    'content-length': manifest.length,
  });
  response.end(manifest);
}

function describe(bytes: Uint8Array): Descriptor {
  return { mediaType: OCI_LAYER, digest: digestOf(bytes), size: bytes.length };
}

async function whole(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('5xx and 429 are asked again', async () => {
  await using server = await serve((_, response, count) => {
    if (count === 1) return response.writeHead(503).end();
    if (count === 2) return response.writeHead(429, { 'retry-after': '1' }).end();
    return sendManifest(response);
  });
  await using registry = client();
  const started = Date.now();
  assert.equal((await registry.resolve(server.reference, signal)).digest, manifestDigest);
  assert.equal(server.seen.length, 3);
  assert.ok(Date.now() - started >= 990, 'Retry-After was waited for');
});

test('asking again ends, with one line', async () => {
  let status = 500;
  await using server = await serve((_, response) => {
    const body = JSON.stringify({ errors: [{ code: 'X', message: 'the disk\nis full' }] });
    response.writeHead(status, status === 429 ? { 'retry-after': '3600' } : {}).end(body);
  });
  await using registry = client();
  // The body of an answer to HEAD is lost, so the manifest is asked for.
  const ask = () => registry.manifest(server.reference, { ...describe(manifest) }, signal);
  await assert.rejects(ask(), {
    code: 'unavailable',
    message: `${server.host} answered 500 for ${server.host}/app@${manifestDigest}, 4 attempts (the disk is full)`,
  });
  status = 429;
  await assert.rejects(ask(), { code: 'rate-limited', message: /too many requests .*log in with "docker login 127/ });
  assert.equal(server.seen.length, 5, 'an hour is not waited for');
  status = 403;
  await assert.rejects(ask(), { code: 'denied', message: /pull access denied .*\(the disk is full\)$/ });
  status = 404;
  await assert.rejects(ask(), { code: 'not-found' });
  status = 400;
  await assert.rejects(ask(), { code: 'refused', message: /answered 400 / });
  assert.equal(server.seen.length, 8);
});

test('nobody there, no such host, not HTTP', async () => {
  await using registry = client({ retry: { attempts: 2 } });
  await assert.rejects(registry.resolve(parseReference('127.0.0.1:1/a'), signal), {
    code: 'unavailable',
    message: 'cannot reach 127.0.0.1:1 for 127.0.0.1:1/a: connection refused (2 attempts)',
  });
  await using server = await serve((_, response) => response.end());
  await using tls = client({
    hosts: new Map([[server.host, { mirrors: [], http: false, ca: [], keypairs: [], tlsConfigDirs: [] }]]),
  });
  await assert.rejects(
    tls.resolve(server.reference, signal),
    /cannot talk to .*: it speaks plain HTTP, set "http = true"/,
  );
  await using fallback = client({
    hosts: new Map([
      [server.host, { mirrors: [], insecure: true, http: true, ca: [], keypairs: [], tlsConfigDirs: [] }],
    ]),
  });
  assert.ok(await fallback.hasBlob(server.reference, manifestDigest, signal));
});

test('a blob goes on after the connection broke', async t => {
  const bytes = randomBytes(400_000);
  for (const ranges of [true, false]) {
    await t.test(ranges ? 'with ranges' : 'from a server without ranges', async () => {
      await using server = await serve((request, response, count) => {
        const start = ranges ? Number(/=(\d+)/.exec(request.headers.range ?? '=0')?.[1]) : 0;
        response.writeHead(start > 0 ? 206 : 200, {
          'content-length': bytes.length - start,
          ...(start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
        });
        if (count > 3) return response.end(bytes.subarray(start));
        return response.write(bytes.subarray(start, count * 100_000), () => response.destroy());
      });
      await using registry = client();
      const progress: number[] = [];
      const got = await whole(
        registry.blob(server.reference, describe(bytes), { onProgress: n => progress.push(n) }, signal),
      );
      assert.deepEqual(got, bytes);
      assert.equal(server.seen.length, 4);
      assert.equal(server.seen[1]?.headers.range, 'bytes=100000-');
      assert.equal(progress.at(-1), bytes.length);
      assert.deepEqual(
        progress,
        [...progress].sort((a, b) => a - b),
      );
    });
  }
});

test('tampered bytes are refused', async () => {
  const bytes = randomBytes(1000);
  let answer = Buffer.from(bytes);
  await using server = await serve((_, response) => {
    response.writeHead(200, { 'content-type': OCI_MANIFEST, 'docker-content-digest': describe(bytes).digest });
    response.end(answer);
  });
  await using registry = client();
  const ask = () => whole(registry.blob(server.reference, describe(bytes), {}, signal));
  answer[500] = (answer[500] ?? 0) ^ 1;
  await assert.rejects(ask(), {
    code: 'corrupt',
    message: /sent other bytes for .*: its bytes have the digest sha256:/,
  });
  await assert.rejects(registry.manifest(server.reference, describe(bytes), signal), { code: 'corrupt' });
  answer = Buffer.concat([bytes, bytes]);
  await assert.rejects(ask(), { code: 'corrupt', message: /it is longer than 1000 bytes/ });
  answer = bytes.subarray(0, 900);
  await assert.rejects(ask(), { code: 'unavailable', message: /cut off .* after 900 of 1000 bytes/ });
});

test('silence ends an exchange', async () => {
  await using server = await serve((request, response, count) => {
    if (request.method !== 'HEAD' && count < 3) response.writeHead(200, { 'content-length': 10 }).write('abc');
  });
  await using registry = client({ silence: 300, retry: { attempts: 2 } });
  await assert.rejects(registry.resolve(server.reference, signal), {
    code: 'unavailable',
    message: /sent nothing for 0\.3 s/,
  });
  await assert.rejects(
    whole(registry.blob(server.reference, describe(randomBytes(10)), {}, signal)),
    /sent nothing for 0\.3 s/,
  );
});

test('stops at once when it is told to', async () => {
  await using server = await serve((request, response) => {
    if (request.method === 'GET') response.writeHead(200, { 'content-length': 10 }).write('abc');
    else response.writeHead(503, { 'retry-after': '2' }).end();
  });
  await using registry = client();
  const controller = new AbortController();
  const stopped = new Error('stopped');
  const blob = whole(registry.blob(server.reference, describe(randomBytes(10)), {}, controller.signal));
  const waiting = registry.resolve(server.reference, controller.signal);
  setTimeout(() => controller.abort(stopped), 100);
  await assert.rejects(blob, stopped);
  await assert.rejects(waiting, error => error === stopped || (error as Error).cause === stopped);
});

test('tokens: fetched with the scope, kept, fetched anew when refused', async () => {
  let revoked = false;
  let issued = 0;
  await using server = await serve((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    if (url.pathname === '/token')
      return response.end(JSON.stringify({ access_token: `t${++issued}`, expires_in: 300 }));
    const wanted = revoked ? 'Bearer t2' : 'Bearer t1';
    if (request.headers.authorization !== wanted) {
      const realm = `http://${request.headers.host}/token`;
      return response
        .writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s",scope="repository:app:pull"` })
        .end();
    }
    return sendManifest(response);
  });
  const told: string[] = [];
  await using registry = client({
    credentials: async () => ({ username: 'u', password: 'p' }),
  });
  using _ = registry.watchTokens((host, scopes) => {
    told.push(`${host} ${scopes.join(' ')}`);
    return () => told.push('done');
  });
  await registry.resolve(server.reference, signal);
  await Promise.all([registry.resolve(server.reference, signal), registry.resolve(server.reference, signal)]);
  assert.equal(issued, 1);
  revoked = true;
  await registry.resolve(server.reference, signal);
  assert.equal(issued, 2);
  const asked = server.seen.find(entry => entry.line.includes('/token'));
  assert.equal(asked?.line, 'GET /token?service=s&scope=repository%3Aapp%3Apull');
  assert.equal(asked?.headers.authorization, `Basic ${Buffer.from('u:p').toString('base64')}`);
  assert.deepEqual(told.slice(0, 2), [`${server.host} repository:app:pull`, 'done']);
});

test('tokens: an identity token is posted; a refusal says what to do', async () => {
  let status = 200;
  await using server = await serve((request, response) => {
    if (request.url === '/token') return response.writeHead(status).end(JSON.stringify({ access_token: 'ok' }));
    if (request.headers.authorization === 'Bearer ok') return sendManifest(response);
    return response
      .writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="s"` })
      .end();
  });
  await using registry = client({ credentials: async () => ({ identityToken: 'refresh me' }) });
  await registry.resolve(server.reference, signal);
  const posted = server.seen.find(entry => entry.line === 'POST /token');
  const form = Object.fromEntries(new URLSearchParams(posted?.body.toString()));
  assert.deepEqual(form, {
    grant_type: 'refresh_token',
    refresh_token: 'refresh me',
    service: 's',
    scope: 'repository:app:pull',
    client_id: 'outcrop',
  });
  status = 401;
  await using refused = client({ credentials: async () => ({ username: 'u', password: 'p' }) });
  await assert.rejects(refused.resolve(server.reference, signal), {
    code: 'unauthorized',
    message: /^authorization failed for .* refused u \(401\), run "docker login 127/,
  });
});

test('tokens: one that is given spares the credentials; where none is given they are used', async () => {
  await using server = await serve((request, response) => {
    if (request.url?.startsWith('/token')) return response.writeHead(200).end(JSON.stringify({ token: 'own' }));
    if (request.headers.authorization !== undefined) return sendManifest(response);
    return response
      .writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="s"` })
      .end();
  });
  const asked: unknown[] = [];
  await using given = client({
    async tokens(request) {
      asked.push(request);
      return 'given';
    },
    credentials: () => assert.fail('asked for credentials'),
  });
  await given.resolve(server.reference, signal);
  const [first] = asked;
  const { host } = server;
  assert.deepEqual(first, { host, realm: `http://${host}/token`, service: 's', scopes: ['repository:app:pull'] });
  assert.equal(server.seen.at(-1)?.headers.authorization, 'Bearer given');

  await using own = client({
    tokens: async () => undefined,
    credentials: async () => ({ username: 'u', password: 'p' }),
  });
  await own.resolve(server.reference, signal);
  assert.equal(server.seen.at(-1)?.headers.authorization, 'Bearer own');
});

test('a redirect to another host loses the authorization', async () => {
  const bytes = randomBytes(100);
  await using storage = await serve((_, response) => response.end(bytes));
  await using server = await serve((request, response) => {
    if (request.headers.authorization === undefined) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    }
    return response.writeHead(307, { location: `http://${storage.host}/data` }).end();
  });
  await using registry = client({ credentials: async () => ({ username: 'u', password: 'p' }) });
  assert.deepEqual(await whole(registry.blob(server.reference, describe(bytes), {}, signal)), bytes);
  assert.equal(storage.seen[0]?.headers.authorization, undefined);
});

test('a server that says little in answers to HEAD is asked for the manifest', async () => {
  await using server = await serve((request, response) => {
    if (request.method === 'HEAD') response.writeHead(200).end();
    else response.writeHead(200, { 'content-type': `${OCI_MANIFEST}; charset=utf-8` }).end(manifest);
  });
  await using registry = client();
  const descriptor = { mediaType: OCI_MANIFEST, digest: manifestDigest, size: manifest.length };
  assert.deepEqual(await registry.resolve(server.reference, signal), descriptor);
});

test('an upload that breaks off is sent in parts, going on where the server is', async () => {
  const bytes = randomBytes(200_000);
  let stored = Buffer.alloc(0);
  let patches = 0;
  await using server = await serve(async (request, response) => {
    const location = { location: '/upload/1?state=x' };
    if (request.method === 'HEAD') return response.writeHead(404).end();
    if (request.method === 'POST') return response.writeHead(202, location).end();
    if (request.method === 'GET')
      return response.writeHead(204, { ...location, range: `0-${stored.length - 1}` }).end();
    const whole = request.method === 'PUT' && request.headers['content-length'] !== '0';
    if (whole) return request.once('data', () => request.destroy());
    const first = request.method === 'PATCH' && ++patches === 1;
    for await (const chunk of request) {
      stored = Buffer.concat([stored, chunk]);
      if (first && stored.length > 60_000) return request.destroy();
    }
    return response.writeHead(request.method === 'PUT' ? 201 : 202, location).end();
  });
  await using registry = client();
  const source: UploadSource = {
    descriptor: describe(bytes),
    async *open(offset) {
      for (let at = offset; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
    },
  };
  assert.equal(await registry.pushBlob(server.reference, source, {}, signal), 'uploaded');
  assert.deepEqual(stored, bytes);
  assert.equal(patches, 2);
  assert.match(server.seen.at(-1)?.line ?? '', /^PUT \/upload\/1\?state=x&digest=sha256%3A/);
});

test('so many blobs at once, and not more', async () => {
  const bytes = randomBytes(10);
  let now = 0;
  let most = 0;
  await using server = await serve(async (_, response) => {
    most = Math.max(most, ++now);
    await new Promise(resolve => setTimeout(resolve, 20));
    now--;
    response.end(bytes);
  });
  await using registry = client({ maxConcurrency: 2 });
  await Promise.all(
    Array.from({ length: 8 }, () => whole(registry.blob(server.reference, describe(bytes), {}, signal))),
  );
  assert.equal(most, 2);
});

test('no HTTP library is loaded before something is asked', async () => {
  const script = `
    const { createRegistryClient } = await import(${JSON.stringify(import.meta.resolve('./client.ts'))});
    createRegistryClient();
    const { createRequire } = await import('node:module');
    const loaded = Object.keys(createRequire(${JSON.stringify(import.meta.url)}).cache);
    process.stdout.write(loaded.filter(file => file.includes('undici')).join());
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(stdout, '');
});
