import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DEFAULT_REGISTRY_HOST } from '../../host/config/buildkitd-toml.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { networkError } from '../../wire/registry/registry-error.ts';
import { type Answer, discard, headerOf, type Transport } from '../../wire/registry/transport.ts';
import type { SecretProvider, SourceRequest } from '../ops/op-context.ts';
import { type LayerID, type Ref, snapshotRef } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import type { DownloadStore, KeptDownload } from './download-store.ts';
import { writeFileLayer } from './file-layer.ts';
import {
  type HttpIdentifier,
  type HttpMetadata,
  httpFileName,
  httpKey,
  httpMetadata,
  httpRequestKey,
  parseHttpDate,
  parseHttpSource,
} from './http-key.ts';
import type { SourceLayers } from './layer-port.ts';
import type { LookUps } from './look-ups.ts';
import { redactUrl, SourceError, sourceCacheMap } from './source-key.ts';
import type { SourceProgress } from './source-progress.ts';

/** What http sources need. */
export interface HttpSourceOptions {
  readonly transport: Transport;
  readonly downloads: DownloadStore;
  readonly layers: SourceLayers;
  readonly secrets: SecretProvider;
  /** Milliseconds without a byte after which an exchange fails; that of the transport. */
  readonly silence: number;
  /** Gives the bytes behind a URL that means the client of the build; undefined for others. */
  readonly upload?: ((url: URL, signal: AbortSignal) => AsyncIterable<Uint8Array> | undefined) | undefined;
  /** What URLs were found to be in this build, by their requests. */
  readonly lookUps: LookUps<Download>;
}

/** A download: what is known of it, and its layer once it was fetched. */
export interface Download {
  readonly metadata: HttpMetadata;
  readonly layer: LayerID | undefined;
}

const MAX_REDIRECTS = 10;
/** Some servers know BuildKit by its name. */
const USER_AGENT = 'outcrop (like buildkit/v0.27)';

/** The step that an `http://` or `https://` source is: one downloaded file. */
export function httpOp(request: SourceRequest, options: HttpSourceOptions, progress: SourceProgress): Op<Ref> {
  const id = parseHttpSource(request.identifier, request.attrs);
  if (id.signature !== undefined)
    throw new SourceError(`${redactUrl(id.url)}: signatures of downloads are not supported`);
  let resolved: Promise<Download> | undefined;
  const once = (signal: AbortSignal) => {
    resolved ??= resolveHttp(id, options, progress, signal).catch(error => {
      if (signal.aborted) resolved = undefined;
      throw error;
    });
    return resolved;
  };
  return {
    async cacheMap(_, signal) {
      const { metadata } = await once(signal);
      return { map: sourceCacheMap(httpKey(id, metadata)), done: true };
    },
    async exec(_, signal) {
      const { metadata, layer } = await once(signal);
      if (layer !== undefined && options.layers.has(layer)) return [snapshotRef([layer])];
      const fetched = await download(id, options, progress, metadata.checksum, signal);
      return [snapshotRef(fetched.layer === undefined ? [] : [fetched.layer])];
    },
  };
}

/**
 * What is known of a download. With a checksum nothing is asked; else the server says once in a build whether it is still
 * what was fetched before, and if not, it is fetched now, for only its bytes tell its digest.
 */
export async function resolveHttp(
  id: HttpIdentifier,
  options: HttpSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<Download> {
  if (id.checksum !== undefined) return { metadata: httpMetadata(id, id.checksum, {}), layer: undefined };
  return options.lookUps.ask(httpRequestKey(id), inner => lookUp(id, options, progress, inner), signal);
}

async function lookUp(
  id: HttpIdentifier,
  options: HttpSourceOptions,
  progress: SourceProgress,
  signal: AbortSignal,
): Promise<Download> {
  const kept = options.downloads.downloads(httpRequestKey(id)).filter(({ layer }) => options.layers.has(layer));
  const same = kept.length > 0 ? await askIfSame(id, kept, options, signal) : undefined;
  if (same !== undefined) return { metadata: metadataOf(id, same), layer: same.layer };
  return download(id, options, progress, undefined, signal);
}

function metadataOf(id: HttpIdentifier, kept: KeptDownload): HttpMetadata {
  return httpMetadata(id, kept.checksum, {
    'last-modified': kept.lastModified,
    'content-disposition': kept.disposition,
  });
}

/** Some servers mishandle `If-None-Match` in a GET, so the tag is compared here, after a HEAD. */
async function askIfSame(
  id: HttpIdentifier,
  kept: readonly KeptDownload[],
  options: HttpSourceOptions,
  signal: AbortSignal,
): Promise<KeptDownload | undefined> {
  const tags = kept.map(({ etag }) => etag).join(', ');
  let answer: Answer;
  try {
    answer = await request(id, 'HEAD', { 'if-none-match': tags }, options, signal);
  } catch (error) {
    // The GET that follows says what is wrong.
    if (signal.aborted) throw error;
    return undefined;
  }
  await discard(answer);
  if (answer.status !== 200 && answer.status !== 304) return undefined;
  const etag = etagOf(answer);
  // Without a tag in the answer 304, it means the only one that was asked about.
  if (etag === undefined) return answer.status === 304 && kept.length === 1 ? kept[0] : undefined;
  return kept.find(download => download.etag === etag);
}

function etagOf(answer: Answer): string | undefined {
  return headerOf(answer, 'etag')?.replace(/^W\//, '');
}

async function download(
  id: HttpIdentifier,
  options: HttpSourceOptions,
  progress: SourceProgress,
  expected: Digest | undefined,
  signal: AbortSignal,
): Promise<Download> {
  const answer = await request(id, 'GET', {}, options, signal);
  if (answer.status < 200 || answer.status >= 300) {
    await discard(answer);
    throw new SourceError(`${redactUrl(id.url)}: invalid response status ${answer.status}`);
  }
  const lastModified = headerOf(answer, 'last-modified');
  const disposition = headerOf(answer, 'content-disposition');
  const modified = lastModified === undefined ? undefined : parseHttpDate(lastModified);
  const name = httpFileName(id, disposition);
  const total = isGzip(answer) ? 0 : Number(headerOf(answer, 'content-length') ?? 0);
  const bytes = progress.transfer(name, total, bodyOf(answer, id, options));
  const file = { perm: id.perm, uid: id.uid, gid: id.gid, name, modified: modified ?? 0 };
  const { layer, digest } = await writeFileLayer(
    options.layers,
    file,
    bytes,
    actual => {
      if (expected === undefined || actual === expected) return;
      throw new SourceError(`digest mismatch for ${redactUrl(id.url)}: ${actual} (expected: ${expected})`);
    },
    signal,
  );
  const etag = etagOf(answer);
  if (etag !== undefined && etag !== '') {
    options.downloads.keepDownload(httpRequestKey(id), { layer, etag, checksum: digest, lastModified, disposition });
  }
  const headers = { 'last-modified': lastModified, 'content-disposition': disposition };
  return { metadata: httpMetadata(id, digest, headers), layer };
}

/** Whether the server compressed what it sent, as we let it. */
function isGzip(answer: Answer): boolean {
  return headerOf(answer, 'content-encoding')?.trim().toLowerCase() === 'gzip';
}

async function* bodyOf(
  answer: Answer,
  id: HttpIdentifier,
  options: HttpSourceOptions,
): AsyncGenerator<Uint8Array, void> {
  const body = isGzip(answer) ? pipeline(answer.body, createGunzip(), () => {}) : answer.body;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) yield chunk;
  } catch (cause) {
    throw networkError(new URL(id.url).host, redactUrl(id.url), options.silence, 1, cause);
  }
}

/** One request, through redirects. Secrets go to the host of the URL only. */
async function request(
  id: HttpIdentifier,
  method: 'GET' | 'HEAD',
  extra: Readonly<Record<string, string>>,
  options: HttpSourceOptions,
  signal: AbortSignal,
): Promise<Answer> {
  let url = parseUrl(id.url);
  const upload = options.upload?.(url, signal);
  if (upload !== undefined) return { status: 200, headers: {}, body: Readable.from(upload) };
  const { origin } = url;
  const authorization = await authorizationOf(id, url, options.secrets, signal);
  // Of a HEAD too, for servers may give what they compress another tag.
  const headers: Record<string, string> = { 'user-agent': USER_AGENT, 'accept-encoding': 'gzip', ...extra };
  for (const { Name, Value } of id.headers) headers[Name.toLowerCase()] = Value;
  for (let redirects = 0; ; redirects++) {
    const authorized = authorization !== undefined && url.origin === origin;
    const endpoint = {
      scheme: url.protocol === 'http:' ? ('http' as const) : ('https' as const),
      host: url.host,
      prefix: '',
      mirror: false,
      fallbackToHttp: false,
      config: DEFAULT_REGISTRY_HOST,
    };
    let answer: Answer;
    try {
      const exchange = {
        method,
        headers: { ...headers, ...(authorized ? { authorization } : {}) },
        headersTimeout: options.silence,
      };
      answer = await options.transport.exchange(endpoint, url, exchange, signal);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw networkError(url.host, redactUrl(id.url), options.silence, 1, cause);
    }
    const location = headerOf(answer, 'location');
    if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer;
    await discard(answer);
    if (redirects >= MAX_REDIRECTS)
      throw new SourceError(`${redactUrl(id.url)}: stopped after ${MAX_REDIRECTS} redirects`);
    url = new URL(location, url);
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch (cause) {
    throw new SourceError(`${redactUrl(text)}: invalid URL`, { cause });
  }
}

/** The header out of the named secret, else out of those that are named after the host. */
async function authorizationOf(
  id: HttpIdentifier,
  url: URL,
  secrets: SecretProvider,
  signal: AbortSignal,
): Promise<string | undefined> {
  const read = async (name: string) => {
    const value = await secrets.get(name, signal);
    return value === undefined ? undefined : new TextDecoder().decode(value).trim();
  };
  if (id.authHeaderSecret !== '') {
    const header = await read(id.authHeaderSecret);
    if (header === undefined)
      throw new SourceError(`failed to retrieve HTTP auth secret ${id.authHeaderSecret}: not found`);
    return header;
  }
  const token = await read(`HTTP_AUTH_TOKEN_${url.hostname}`);
  if (token !== undefined) return `Bearer ${token}`;
  const header = await read(`HTTP_AUTH_HEADER_${url.hostname}`);
  if (header !== undefined || url.username === '') return header;
  const account = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${Buffer.from(account).toString('base64')}`;
}
