import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hexOf } from '../../../wire/oci/digest.ts';
import { signRequest } from './aws-signature.ts';
import { placedRecords } from './export-content.ts';
import { exportObjects } from './export-objects.ts';
import { fakeMachine } from './fake-build.ts';
import { objectsOf, openCacheImports } from './import.ts';
import { type ObjectHttp, objectHttp } from './object-http.ts';
import { documentCaches } from './object-place.ts';
import { readExportOptions } from './options.ts';
import type { CacheLayer } from './port.ts';
import { inVertex } from './progress.ts';

const vectors = new URL('../../../../test/vectors/remote-cache/', import.meta.url);
const signal = AbortSignal.timeout(60_000);
const entryVersion = '693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2';

interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly bodyBytes?: number;
}

interface Phase {
  readonly phase: string;
  readonly requests: readonly { readonly request: Recorded }[];
}

function phasesOf(name: string): readonly Phase[] {
  return JSON.parse(readFileSync(new URL(`protocols/${name}.json`, vectors), 'utf8')).phases;
}

/** The documents that a phase saved. */
function documentOf(phases: readonly Phase[]): Buffer {
  const document = phases.flatMap(({ requests }) => requests).find(({ request }) => isDocument(request.json));
  return Buffer.from(JSON.stringify(document?.request.json));
}

function isDocument(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'records' in json;
}

/** What matters of a request, as text. */
function line({ method, path, headers, json, bodyBytes }: Recorded): string {
  const names = [
    'x-amz-content-sha256',
    'x-ms-blob-type',
    'x-ms-version',
    'content-range',
    'accept',
    'content-type',
    'content-length',
  ];
  const said = names.flatMap(name =>
    headers[name] === undefined || headers[name] === '0' || (method === 'PATCH' && name === 'content-length')
      ? []
      : [`${name}: ${headers[name]}`],
  );
  const body = json === undefined ? (bodyBytes ?? 0) : isDocument(json) ? 'document' : JSON.stringify(json);
  return [method, path, ...said, body].join(' | ');
}

interface Store {
  readonly url: string;
  /** Requests since the last call. */
  taken(): string[];
  readonly http: ObjectHttp;
}

type Handler = (
  request: Recorded,
  body: Buffer,
  url: string,
) => { status: number; json?: unknown; bytes?: Buffer; headers?: Record<string, string> };

/** A server that notes requests. */
async function withStore(handler: Handler, work: (store: Store) => Promise<void>): Promise<void> {
  const seen: string[] = [];
  let url = '';
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const headers = incoming.headers as Record<string, string>;
    const isJson = body[0] === 0x7b;
    const request: Recorded = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers,
      ...(isJson ? { json: JSON.parse(body.toString()) } : { bodyBytes: body.length }),
    };
    seen.push(line(request));
    const { status, json, bytes, headers: more = {} } = handler(request, body, url);
    const content = bytes ?? (json === undefined ? undefined : Buffer.from(JSON.stringify(json)));
    outgoing.writeHead(status, content === undefined ? more : { ...more, 'content-length': content.length });
    outgoing.end(incoming.method === 'HEAD' ? undefined : content);
  };
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing));
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  url = `http://127.0.0.1:${address.port}`;
  const http = objectHttp({ pause: 5 });
  try {
    await work({ url, taken: () => seen.splice(0), http });
  } finally {
    await http[Symbol.asyncDispose]();
    server.closeAllConnections();
    await new Promise(done => server.close(done));
  }
}

function recordsOf(document: Buffer) {
  return placedRecords(documentCaches([document]), {
    open: ({ digest }, start) =>
      createReadStream(fileURLToPath(new URL(`broken-configs/base/blobs/sha256/${hexOf(digest)}`, vectors)), { start }),
  });
}

async function exportTo(store: Store, type: string, attributes: Record<string, string>, document: Buffer) {
  const options = readExportOptions({ type, attributes }, {});
  assert(options.type === 'object');
  const machine = fakeMachine(undefined, store.http);
  const writer = objectsOf(options.place, machine.deps);
  await inVertex('export', machine.deps, vertex => exportObjects(recordsOf(document), false, writer, vertex, signal));
  return machine.statuses().sort();
}

/** Imports, and fetches all layers if they are wanted. */
async function importFrom(store: Store, type: string, attributes: Record<string, string>, isFetching: boolean) {
  const machine = fakeMachine(undefined, store.http);
  const [source] = openCacheImports([{ type, attributes }], machine.deps, signal);
  const cache = await source?.cache;
  assert(cache !== undefined, machine.complaints().join());
  const top = cache.keys.keysOf('2')[0] ?? '';
  const [result] = cache.keys.results(top);
  await cache.results.load(result?.id ?? '', signal);
  const sizes: number[] = [];
  for (const layer of isFetching ? machine.lazy.values() : []) {
    let size = 0;
    for await (const chunk of layer.fetch(signal)) size += chunk.length;
    sizes.push(size);
  }
  assert.deepEqual(machine.complaints(), []);
  return sizes;
}

function expected(phase: Phase | undefined): string[] {
  return (phase?.requests ?? []).map(({ request }) => line(request)).sort();
}

test('s3: the requests of 4 of 4 recorded phases', async () => {
  const phases = phasesOf('s3');
  const document = documentOf(phases);
  const objects = new Map<string, Buffer>();
  const handler: Handler = ({ method, path }, body) => {
    const [key = ''] = path.split('?');
    if (method === 'PUT') objects.set(key, body);
    const bytes = objects.get(key);
    if (method === 'PUT') return { status: 200, headers: { etag: '"x"' } };
    return bytes === undefined
      ? { status: 404 }
      : { status: 200, bytes, headers: { 'last-modified': new Date().toUTCString() } };
  };
  await withStore(handler, async store => {
    const attributes = {
      region: 'us-east-1',
      bucket: 'bkt',
      prefix: 'pre/',
      name: 'one;two',
      endpoint_url: store.url,
      use_path_style: 'true',
      access_key_id: 'id',
      secret_access_key: 'secret',
    };
    const [first, again, imported, fetched] = phases;
    const layers = [
      ...new Set(
        recordsOf(document).flatMap(({ results }) => results.flatMap(r => r.layers.map((l: CacheLayer) => l.digest))),
      ),
    ];
    assert.deepEqual(await exportTo(store, 's3', attributes, document), layers.map(l => `writing layer ${l}`).sort());
    assert.deepEqual(store.taken().sort(), expected(first));
    assert.equal(objects.get('/bkt/pre/manifests/two')?.toString(), document.toString());
    assert.deepEqual(await exportTo(store, 's3', attributes, document), []);
    assert.deepEqual(store.taken().sort(), expected(again));
    // Ours asks for the layers of a result before it calls it a hit.
    const questions = expected(again).filter(text => text.startsWith('HEAD'));
    await importFrom(store, 's3', attributes, false);
    assert.deepEqual(store.taken().sort(), [...expected(imported), ...questions].sort());
    assert.deepEqual(await importFrom(store, 's3', attributes, true), [103, 105]);
    assert.deepEqual(store.taken().sort(), [...expected(fetched), ...questions].sort());
    objects.clear();
    const machine = fakeMachine(undefined, store.http);
    const [source] = openCacheImports([{ type: 's3', attributes }], machine.deps, signal);
    assert.equal((await source?.cache)?.keys.has('x'), false);
    assert.deepEqual(machine.complaints(), []);
  });
});

test('s3: large layers go in parts', async () => {
  const parts = new Map<string, Buffer>();
  let whole: Buffer | undefined;
  const handler: Handler = ({ method, path }, body) => {
    const query = new URLSearchParams(path.split('?')[1]);
    if (method === 'HEAD') return { status: 404 };
    if (query.has('uploads')) return { status: 200, bytes: Buffer.from('<R><UploadId>up</UploadId></R>') };
    if (method === 'POST') whole = Buffer.concat([...parts.values()]);
    else parts.set(query.get('partNumber') ?? '', body);
    return { status: 200, headers: { etag: `"${query.get('partNumber')}"` } };
  };
  await withStore(handler, async store => {
    const bytes = Buffer.alloc((16 << 20) + 5, 'x');
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as const;
    const attributes = {
      region: 'r',
      bucket: 'b',
      endpoint_url: store.url,
      use_path_style: 'true',
      access_key_id: 'i',
      secret_access_key: 's',
    };
    const options = readExportOptions({ type: 's3', attributes }, {});
    assert(options.type === 'object');
    const writer = objectsOf(options.place, fakeMachine(undefined, store.http).deps);
    const layer: CacheLayer = {
      digest,
      diffId: digest,
      descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes.length },
      open: async function* () {
        yield* [bytes.subarray(0, 3), bytes.subarray(3)];
      },
    };
    await writer.putLayer(layer, work => work(), signal);
    assert.equal(whole?.equals(bytes), true);
  });
});

// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
test('requests are signed as in the example of the documentation', () => {
  const signed = signRequest(
    {
      method: 'GET',
      url: new URL('https://examplebucket.s3.amazonaws.com/test.txt'),
      headers: { range: 'bytes=0-9' },
      payload: createHash('sha256').digest('hex'),
    },
    { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
    'us-east-1',
    new Date('2013-05-24T00:00:00Z'),
  );
  assert.match(
    signed['authorization'] ?? '',
    /Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41$/,
  );
});

function ghaToken(): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const ac = JSON.stringify([
    { Scope: 'refs/heads/main', Permission: 1 },
    { Scope: 'refs/heads/feature', Permission: 3 },
  ]);
  return `${part({ alg: 'none' })}.${part({ ac, exp: Date.now() / 1000 + 3600, nbf: 0 })}.x`;
}

/** The service in both versions: entries that cannot be overwritten, found by what their keys begin with. */
function actionsStore(): {
  handler: Handler;
  entries: Map<string, { id: number; bytes: Buffer }>;
  fail429: { times: number };
} {
  const entries = new Map<string, { id: number; bytes: Buffer }>();
  const reserved = new Map<number, { key: string; chunks: Buffer[] }>();
  const fail429 = { times: 0 };
  let next = 0;
  const find = (prefix: string) => [...entries].filter(([key]) => key.startsWith(prefix)).at(-1);
  const finish = (id: number) => {
    const { key, chunks } = reserved.get(id) ?? assert.fail();
    entries.set(key, { id, bytes: Buffer.concat(chunks) });
  };
  const create = (key: string) => {
    if (entries.has(key)) return undefined;
    reserved.set(++next, { key, chunks: [] });
    return next;
  };
  const handler: Handler = ({ method, path, json }, body, url) => {
    if (fail429.times-- > 0) return { status: 429, headers: { 'retry-after': '0' } };
    const said = (json ?? {}) as { key?: string; restore_keys?: string[]; version?: string };
    const id = Number(/\/(\d+)(?:\?|$)/.exec(path)?.[1]);
    if (path.startsWith('/twirp/') || path.endsWith('/caches')) assert.equal(said.version, entryVersion);
    if (path.endsWith('GetCacheEntryDownloadURL')) {
      const [key, entry] = find(said.restore_keys?.[0] ?? '') ?? [];
      if (entry === undefined) return { status: 200, json: { ok: false, signed_download_url: '', matched_key: '' } };
      return {
        status: 200,
        json: { ok: true, signed_download_url: `${url}/download/${entry.id}?sig=x`, matched_key: key },
      };
    }
    if (path.endsWith('CreateCacheEntry')) {
      const made = create(said.key ?? '');
      if (made === undefined) return { status: 409, json: { code: 'already_exists', msg: 'exists' } };
      return { status: 200, json: { ok: true, signed_upload_url: `${url}/upload/${made}?sig=x` } };
    }
    if (path.startsWith('/upload/')) {
      reserved.get(id)?.chunks.push(body);
      return { status: 201 };
    }
    if (path.endsWith('FinalizeCacheEntryUpload')) {
      const [number] = [...reserved].find(([, { key }]) => key === said.key) ?? assert.fail();
      finish(number);
      return { status: 200, json: { ok: true, entry_id: String(number) } };
    }
    if (path.includes('/cache?')) {
      const [key, entry] = find(new URL(path, url).searchParams.get('keys') ?? '') ?? [];
      if (entry === undefined) return { status: 204 };
      return { status: 200, json: { cacheKey: key, scope: 'x', archiveLocation: `${url}/archive/${entry.id}` } };
    }
    if (path.endsWith('/caches')) {
      const made = create(said.key ?? '');
      return made === undefined ? { status: 409, json: {} } : { status: 201, json: { cacheId: made } };
    }
    if (method === 'PATCH') {
      reserved.get(id)?.chunks.push(body);
      return { status: 204 };
    }
    if (method === 'POST') {
      finish(id);
      return { status: 204 };
    }
    const entry = [...entries.values()].find(one => one.id === id);
    return entry === undefined ? { status: 404 } : { status: 200, bytes: entry.bytes };
  };
  return { handler, entries, fail429 };
}

for (const version of ['2', '1']) {
  test(`gha, version ${version}: the requests of 4 of 4 recorded phases`, async () => {
    const phases = phasesOf(`gha-v${version}`);
    const document = documentOf(phases);
    const { handler, entries, fail429 } = actionsStore();
    await withStore(handler, async store => {
      const url = version === '2' ? { url_v2: `${store.url}/` } : { url: `${store.url}/` };
      const attributes = { scope: 'myscope', version, token: ghaToken(), ...url };
      const [first, again, imported, fetched] = phases;
      await exportTo(store, 'gha', attributes, document);
      const normal = (lines: readonly string[]) =>
        lines.map(text => text.replace(/(upload|download|archive|caches)\/\d+/, '$1/N')).sort();
      // The number before the first is looked for twice.
      const twice = (lines: readonly string[]) => [...new Set(lines)].sort();
      assert.deepEqual(twice(normal(store.taken())), twice(normal(expected(first))));
      // Nothing new: ours looks at the last document and leaves it.
      await exportTo(store, 'gha', attributes, document);
      const taken = normal(store.taken());
      assert.deepEqual(
        taken.filter(text => !/^GET . .(download|archive)/.test(text)),
        twice(normal(expected(again))).filter(text => !/Create|Finalize|upload|caches/.test(text)),
      );
      assert.equal(entries.has('index-myscope-1-f04dcc3f#2'), false);
      const other = Buffer.from(document.toString().replace('2026', '2025'));
      await exportTo(store, 'gha', attributes, other);
      assert.equal(
        entries.get('index-myscope-1-f04dcc3f#2')?.bytes.toString(),
        JSON.stringify(JSON.parse(other.toString())),
      );
      store.taken();
      await importFrom(store, 'gha', attributes, false);
      assert.deepEqual(normal(store.taken()), normal(expected(imported)));
      fail429.times = 2;
      assert.deepEqual(await importFrom(store, 'gha', attributes, true), [103, 105]);
      assert.deepEqual(twice(normal(store.taken())), twice(normal(expected(fetched))));
    });
  });
}

test('gha outside of actions: nothing is exported, nothing is imported, and why', async () => {
  const machine = fakeMachine();
  const [source] = openCacheImports([{ type: 'gha', attributes: {} }], machine.deps, signal);
  assert.equal(await source?.cache, undefined);
  assert.deepEqual(machine.complaints(), ['cache with type gha requires url parameter to be set']);
  const options = readExportOptions({ type: 'gha', attributes: { url: 'http://h/' } }, {});
  assert.deepEqual(
    options.type === 'none' && options.reason,
    'cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN',
  );
});
