/** GitHub's cache service in both versions of its protocol (remote-cache facts, section 15). */
import { createHash } from 'node:crypto';
import { discard, readUpTo } from '../../../wire/registry/transport.ts';
import { RemoteCacheError } from './content-place.ts';
import type { ObjectHttp, ObjectRequest } from './object-http.ts';

/** An entry that was found, and where it can be downloaded for a while. */
export interface ActionsEntry {
  readonly key: string;
  readonly url: URL;
}

/** What is to be saved. Its bytes may be asked for more than once. */
interface ActionsUpload {
  readonly size: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface ActionsService {
  /** The newest entry whose key begins with `prefix`. */
  find(prefix: string, signal: AbortSignal): Promise<ActionsEntry | undefined>;
  /** Returns false when there is such an entry, or somebody is saving one. */
  save(key: string, upload: ActionsUpload, signal: AbortSignal): Promise<boolean>;
  /** A download, from an offset. */
  download(entry: ActionsEntry, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface ActionsAccess {
  readonly url: URL;
  readonly version: 1 | 2;
  readonly token: string;
}

/** The version that all entries of this kind of client have. */
const entryVersion = createHash('sha256').update('|go-actionscache-1.0').digest('hex');
const chunkSize = 32 << 20;
const answerLimit = 1 << 20;

type Json = Readonly<Record<string, unknown>>;

export function actionsService(access: ActionsAccess, http: ObjectHttp): ActionsService {
  const authorization = { authorization: `Bearer ${access.token}` };

  async function call(
    url: URL,
    request: Pick<ObjectRequest, 'method' | 'accept' | 'what'>,
    headers: Readonly<Record<string, string>>,
    json: Json | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly json: Json }> {
    const body = json === undefined ? undefined : Buffer.from(JSON.stringify(json));
    const own = {
      ...authorization,
      ...headers,
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(body.length) }),
    };
    const answer = await http.send(
      url,
      { ...request, headers: () => own, ...(body === undefined ? {} : { body: () => body }) },
      signal,
    );
    const text = (await readUpTo(answer, answerLimit)).toString();
    return { status: answer.status, json: text === '' ? {} : JSON.parse(text) };
  }

  async function* download(entry: ActionsEntry, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const headers = () =>
      access.version === 2 ? { accept: 'application/xml', 'x-ms-version': '2024-11-04', ...range } : range;
    const accept = [offset === 0 ? 200 : 206];
    const answer = await http.send(entry.url, { method: 'GET', accept, what: entry.key, headers }, signal);
    yield* answer.body;
  }

  return {
    download,
    ...(access.version === 2 ? secondVersion(access, http, call) : firstVersion(access, http, call, authorization)),
  };
}

type Call = (
  url: URL,
  request: Pick<ObjectRequest, 'method' | 'accept' | 'what'>,
  headers: Readonly<Record<string, string>>,
  json: Json | undefined,
  signal: AbortSignal,
) => Promise<{ readonly status: number; readonly json: Json }>;

function secondVersion(access: ActionsAccess, http: ObjectHttp, call: Call): Omit<ActionsService, 'download'> {
  const post = (method: string, json: Json, key: string, accept: readonly number[], signal: AbortSignal) => {
    const url = new URL(`twirp/github.actions.results.api.v1.CacheService/${method}`, withSlash(access.url));
    return call(url, { method: 'POST', accept, what: key }, {}, { ...json, version: entryVersion }, signal);
  };
  return {
    async find(prefix, signal) {
      const { json } = await post(
        'GetCacheEntryDownloadURL',
        { key: prefix, restore_keys: [prefix] },
        prefix,
        [200],
        signal,
      );
      const { ok, signed_download_url: url, matched_key: key } = json;
      return ok === true && typeof url === 'string' && typeof key === 'string' ? { key, url: new URL(url) } : undefined;
    },
    async save(key, { size, open }, signal) {
      const { status, json } = await post('CreateCacheEntry', { key }, key, [200, 409], signal);
      if (status === 409) return false;
      const { ok, signed_upload_url: url } = json;
      if (ok !== true || typeof url !== 'string')
        throw new RemoteCacheError(`the cache service refused to save ${key}`);
      const headers = () => ({
        accept: 'application/xml',
        'content-type': 'application/octet-stream',
        'content-length': String(size),
        'x-ms-blob-type': 'BlockBlob',
        'x-ms-version': '2024-11-04',
      });
      await discard(
        await http.send(new URL(url), { method: 'PUT', accept: [201], what: key, headers, body: open }, signal),
      );
      const done = await post('FinalizeCacheEntryUpload', { key, size_bytes: size }, key, [200], signal);
      if (done.json['ok'] !== true) throw new RemoteCacheError(`the cache service did not take ${key}`);
      return true;
    },
  };
}

function firstVersion(
  access: ActionsAccess,
  http: ObjectHttp,
  call: Call,
  authorization: Readonly<Record<string, string>>,
): Omit<ActionsService, 'download'> {
  const accepted = { accept: 'application/json;api-version=6.0-preview.1' };
  const urlOf = (path: string) => new URL(`_apis/artifactcache/${path}`, withSlash(access.url));
  return {
    async find(prefix, signal) {
      const url = urlOf('cache');
      url.search = new URLSearchParams({ keys: prefix, version: entryVersion }).toString();
      const { json } = await call(
        url,
        { method: 'GET', accept: [200, 204], what: prefix },
        accepted,
        undefined,
        signal,
      );
      const { cacheKey: key, archiveLocation: location } = json;
      return typeof key === 'string' && typeof location === 'string' ? { key, url: new URL(location) } : undefined;
    },
    async save(key, { size, open }, signal) {
      const version = entryVersion;
      const request = { method: 'POST', accept: [200, 201, 409], what: key } as const;
      const { status, json } = await call(urlOf('caches'), request, accepted, { key, version }, signal);
      if (status === 409) return false;
      const { cacheId } = json;
      if (typeof cacheId !== 'number') throw new RemoteCacheError(`the cache service refused to save ${key}`);
      const url = urlOf(`caches/${cacheId}`);
      let offset = 0;
      for await (const chunk of chunksOf(open())) {
        const headers = () => ({
          ...authorization,
          ...accepted,
          'content-type': 'application/octet-stream',
          'content-length': String(chunk.length),
          'content-range': `bytes ${offset}-${offset + chunk.length - 1}/*`,
        });
        const patch = { method: 'PATCH', accept: [200, 204], what: key, headers, body: () => chunk } as const;
        await discard(await http.send(url, patch, signal));
        offset += chunk.length;
      }
      await call(url, { method: 'POST', accept: [200, 204], what: key }, accepted, { size }, signal);
      return true;
    },
  };
}

function withSlash(url: URL): URL {
  return url.href.endsWith('/') ? url : new URL(`${url.href}/`);
}

async function* chunksOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    chunks.push(chunk);
    size += chunk.length;
    if (size < chunkSize) continue;
    yield Buffer.concat(chunks);
    chunks = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(chunks);
}
