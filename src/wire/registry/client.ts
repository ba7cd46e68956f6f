import { DEFAULT_REGISTRY_HOST, type RegistryHostConfig } from '../../host/config/buildkitd-toml.ts';
import type { Credentials } from '../../host/config/docker-config.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { parseIndex } from '../oci/manifest.ts';
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../oci/media-types.ts';
import { formatReference, type Reference, repositoryName } from '../oci/reference.ts';
import { createAuthorizer, type TokenListener, type TokenSource } from './authorizer.ts';
import { type BlobLocation, type BlobOptions, blobExists, blobStream, collect } from './blob-stream.ts';
import { startUpload, type UploadOutcome, type UploadSource, type UploadTarget, upload } from './blob-upload.ts';
import { type Endpoint, endpointsOf } from './endpoint.ts';
import { createLimiter, type Limiter } from './limiter.ts';
import { isNotFound, RegistryError } from './registry-error.ts';
import { createSender, type RegistryRequest, type RetryPolicy, type Sender } from './sender.ts';
import { type Answer, createTransport, discard, headerOf, readUpTo } from './transport.ts';

/** How a client proves to registries who asks. */
export interface RegistryAccess {
  /** Asked once per host, when it wants credentials, and again when it refuses them. */
  readonly credentials?: ((host: string, signal: AbortSignal) => Promise<Credentials | undefined>) | undefined;
  /** Asked for tokens before credentials are. */
  readonly tokens?: TokenSource | undefined;
}

/** What a client is made with. */
export interface RegistryOptions extends RegistryAccess {
  /** Settings by registry host: `[registry]` of `buildkitd.toml`. */
  readonly hosts?: ReadonlyMap<string, RegistryHostConfig>;
  /** Blobs that are moved at once, per registry host. Default 4, as BuildKit. */
  readonly maxConcurrency?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** Milliseconds without a byte after which an exchange fails. Default 30,000. */
  readonly silence?: number;
}

/** How a blob is pushed. */
export interface PushOptions {
  /** Another repository, as `repositoryName` gives it, that is known to have the blob; used where it is in the same registry. */
  readonly mountFrom?: string;
  /** Called with the bytes sent, from the blob's start. */
  readonly onProgress?: (sent: number) => void;
}

/** Talks to OCI registries (OCI distribution spec). Every method throws `RegistryError` when it failed for good. */
export interface RegistryClient extends AsyncDisposable {
  /** Tells of each token that is fetched, until what it returns is disposed. */
  watchTokens(listener: TokenListener): Disposable;
  /** What the reference names now: media type, digest and size of a manifest or an index. */
  resolve(reference: Reference, signal: AbortSignal): Promise<Descriptor>;
  /** The bytes of a manifest or index, checked against the descriptor's digest. */
  manifest(reference: Reference, descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  /** A small blob (a config) in memory, checked. */
  blobBytes(reference: Reference, descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  /** A blob as a stream that goes on after a dropped connection, checked at its end. */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    options: BlobOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void>;
  /** The size of a blob of which only the digest is known. */
  blobSize(reference: Reference, digest: Digest, signal: AbortSignal): Promise<number>;
  /** The manifests of a repository that refer to one of its manifests (OCI distribution spec, listing referrers). */
  referrers(reference: Reference, digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]>;
  /** Whether the repository has the blob. */
  hasBlob(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** Brings a blob to the repository unless it is there. */
  pushBlob(
    reference: Reference,
    source: UploadSource,
    options: PushOptions,
    signal: AbortSignal,
  ): Promise<UploadOutcome>;
  /** Brings a manifest or index to the repository: under its digest, or under the reference's tag if it has one. */
  pushManifest(reference: Reference, bytes: Uint8Array, mediaType: string, signal: AbortSignal): Promise<Descriptor>;
}

const ACCEPT = `${[DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX].join(', ')}, */*`;
const DEFAULT_RETRY: RetryPolicy = { attempts: 5, baseDelay: 500, maxDelay: 30_000 };
const DEFAULT_SILENCE = 30_000;
const DEFAULT_CONCURRENCY = 4;
/** Larger ones are not manifests but attacks on memory. */
const MAX_MANIFEST = 8 * 1024 * 1024;
const MAX_SMALL_BLOB = 64 * 1024 * 1024;

/** A client. It opens no connection and loads no HTTP library before it is first asked for something. */
export function createRegistryClient(options: RegistryOptions = {}): RegistryClient {
  const hosts = options.hosts ?? new Map<string, RegistryHostConfig>();
  const silence = options.silence ?? DEFAULT_SILENCE;
  const transport = createTransport(silence);
  const lifetime = new AbortController();
  const watchers = new Set<TokenListener>();
  const sender = createSender(
    transport,
    exchange =>
      createAuthorizer({
        credentials: options.credentials ?? (async () => undefined),
        tokens: options.tokens,
        exchange,
        onToken(host, scopes) {
          const ends = [...watchers].map(watcher => watcher(host, scopes));
          return error => {
            for (const end of ends) end(error);
          };
        },
        lifetime: lifetime.signal,
      }),
    { ...DEFAULT_RETRY, ...options.retry },
    silence,
  );
  const limiters = new Map<string, Limiter>();
  const limiterOf = (host: string): Limiter => {
    const limiter = limiters.get(host) ?? createLimiter(options.maxConcurrency ?? DEFAULT_CONCURRENCY);
    limiters.set(host, limiter);
    return limiter;
  };

  const originOf = (reference: Reference): Endpoint => {
    const [origin] = endpointsOf(reference.domain, new Map([[reference.domain, withoutMirrors(hosts, reference)]]));
    if (origin === undefined) throw new TypeError('a registry has no endpoint');
    return origin;
  };
  const locationOf = (endpoint: Endpoint, reference: Reference, digest: Digest, actions: string): BlobLocation => ({
    endpoint,
    path: `/${reference.path}/blobs/${digest}`,
    scopes: [`repository:${reference.path}:${actions}`],
    limiter: limiterOf(endpoint.host),
  });
  const blob: RegistryClient['blob'] = (reference, descriptor, blobOptions, signal) => {
    const locations = endpointsOf(reference.domain, hosts).map(endpoint =>
      locationOf(endpoint, reference, descriptor.digest, 'pull'),
    );
    const what = `${repositoryName(reference)}@${descriptor.digest}`;
    return blobStream(sender, locations, descriptor, what, blobOptions, signal);
  };

  return {
    watchTokens(listener) {
      watchers.add(listener);
      return { [Symbol.dispose]: () => void watchers.delete(listener) };
    },
    resolve: (reference, signal) =>
      firstOf(endpointsOf(reference.domain, hosts), signal, endpoint => resolveAt(sender, endpoint, reference, signal)),
    manifest(reference, descriptor, signal) {
      const what = `${repositoryName(reference)}@${descriptor.digest}`;
      return firstOf(endpointsOf(reference.domain, hosts), signal, async endpoint => {
        const request = manifestRequest('GET', reference, descriptor.digest, what, descriptor.mediaType);
        const answer = await sender.send(endpoint, request, signal);
        return checkedManifest(await readManifest(answer, endpoint, what), descriptor.digest, endpoint, what);
      });
    },
    async blobBytes(reference, descriptor, signal) {
      if (descriptor.size > MAX_SMALL_BLOB) {
        const message = `${repositoryName(reference)}@${descriptor.digest} is too large to be read whole`;
        throw new RegistryError('refused', message, { host: reference.domain });
      }
      return collect(blob(reference, descriptor, {}, signal));
    },
    blob,
    blobSize(reference, digest, signal) {
      const what = `${repositoryName(reference)}@${digest}`;
      return firstOf(endpointsOf(reference.domain, hosts), signal, async endpoint => {
        const { path, scopes } = locationOf(endpoint, reference, digest, 'pull');
        const answer = await sender.send(endpoint, { method: 'HEAD', path, scopes, accept: [200], what }, signal);
        await discard(answer);
        const size = Number(headerOf(answer, 'content-length') ?? Number.NaN);
        if (Number.isSafeInteger(size)) return size;
        throw new RegistryError('refused', `${endpoint.host} does not tell the size of ${what}`, endpoint);
      });
    },
    referrers(reference, digest, signal) {
      const what = `the referrers of ${repositoryName(reference)}@${digest}`;
      const scopes = [`repository:${reference.path}:pull`];
      // A registry without the list has it under a tag, if anywhere.
      const paths = [
        `/${reference.path}/referrers/${digest}`,
        `/${reference.path}/manifests/${digest.replace(':', '-')}`,
      ];
      return firstOf(endpointsOf(reference.domain, hosts), signal, async endpoint => {
        for (const path of paths) {
          const request = { method: 'GET', path, headers: { accept: OCI_INDEX }, scopes, accept: [200], what } as const;
          try {
            const answer = await sender.send(endpoint, request, signal);
            return parseIndex(await readManifest(answer, endpoint, what)).manifests;
          } catch (error) {
            if (!isNotFound(error)) throw error;
          }
        }
        return [];
      });
    },
    hasBlob(reference, digest, signal) {
      const what = `${repositoryName(reference)}@${digest}`;
      return blobExists(sender, locationOf(originOf(reference), reference, digest, 'pull'), what, false, signal);
    },
    async pushBlob(reference, source, pushOptions, signal) {
      const endpoint = originOf(reference);
      const { digest } = source.descriptor;
      const location = locationOf(endpoint, reference, digest, 'pull,push');
      const target: UploadTarget = {
        endpoint,
        repository: reference.path,
        scopes: location.scopes,
        what: `${repositoryName(reference)}@${digest}`,
        ...(pushOptions.onProgress === undefined ? {} : { onProgress: pushOptions.onProgress }),
      };
      using _ = await location.limiter.enter(signal);
      if (await blobExists(sender, location, target.what, true, signal)) return 'exists';
      const from = mountable(reference, pushOptions.mountFrom);
      const mount = from === undefined ? undefined : { digest, from };
      const started = await startUpload(sender, target, mount, signal);
      if (started === undefined) return 'mounted';
      await upload(sender, target, started, source, signal);
      return 'uploaded';
    },
    pushManifest: (reference, bytes, mediaType, signal) =>
      pushManifest(sender, originOf(reference), reference, bytes, mediaType, signal),
    async [Symbol.asyncDispose]() {
      lifetime.abort(new Error('the registry client was closed'));
      await transport[Symbol.asyncDispose]();
    },
  };
}

function withoutMirrors(hosts: ReadonlyMap<string, RegistryHostConfig>, reference: Reference): RegistryHostConfig {
  return { ...(hosts.get(reference.domain) ?? DEFAULT_REGISTRY_HOST), mirrors: [] };
}

/** The path of the repository to mount from, if it is another one of the same registry. */
function mountable(reference: Reference, name: string | undefined): string | undefined {
  const prefix = `${reference.domain}/`;
  const path = name?.startsWith(prefix) ? name.slice(prefix.length) : undefined;
  return path === reference.path ? undefined : path;
}

/** The first answer that is not a failure; when all fail, the failure of the last, which is the registry itself. */
async function firstOf<T>(
  endpoints: readonly Endpoint[],
  signal: AbortSignal,
  ask: (endpoint: Endpoint) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const endpoint of endpoints) {
    try {
      return await ask(endpoint);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      failure = error;
    }
  }
  throw failure;
}

function manifestRequest(
  method: 'GET' | 'HEAD',
  reference: Reference,
  name: string,
  what: string,
  mediaType?: string,
): RegistryRequest {
  return {
    method,
    path: `/${reference.path}/manifests/${name}`,
    headers: { accept: mediaType === undefined ? ACCEPT : `${mediaType}, */*` },
    scopes: [`repository:${reference.path}:pull`],
    accept: method === 'HEAD' ? [200, 405] : [200],
    what,
  };
}

async function resolveAt(
  sender: Sender,
  endpoint: Endpoint,
  reference: Reference,
  signal: AbortSignal,
): Promise<Descriptor> {
  const name = reference.digest ?? reference.tag ?? 'latest';
  const what = formatReference(reference);
  const head = await sender.send(endpoint, manifestRequest('HEAD', reference, name, what), signal);
  await discard(head);
  const said = headerOf(head, 'docker-content-digest') ?? reference.digest;
  const size = Number(headerOf(head, 'content-length') ?? Number.NaN);
  const mediaType = mediaTypeOf(head);
  if (
    head.status === 200 &&
    said !== undefined &&
    isDigest(said) &&
    Number.isSafeInteger(size) &&
    mediaType !== undefined
  ) {
    if (reference.digest !== undefined && said !== reference.digest) throw wrongDigest(endpoint, what, said);
    return { mediaType, digest: said, size };
  }
  // Some servers tell neither digest nor size in answers to HEAD.
  const answer = await sender.send(endpoint, manifestRequest('GET', reference, name, what), signal);
  const bytes = await readManifest(answer, endpoint, what);
  const digest = digestOf(bytes);
  if (reference.digest !== undefined && digest !== reference.digest) throw wrongDigest(endpoint, what, digest);
  return { mediaType: mediaTypeOf(answer) ?? DOCKER_MANIFEST, digest, size: bytes.length };
}

function mediaTypeOf(answer: Answer): string | undefined {
  const type = headerOf(answer, 'content-type')?.split(';')[0]?.trim();
  return type === '' ? undefined : type;
}

async function readManifest(answer: Answer, endpoint: Endpoint, what: string): Promise<Uint8Array> {
  const bytes = await readUpTo(answer, MAX_MANIFEST + 1);
  if (bytes.length <= MAX_MANIFEST) return bytes;
  const { host } = endpoint;
  throw new RegistryError('refused', `the manifest of ${what} is larger than ${MAX_MANIFEST} bytes`, { host });
}

function checkedManifest(bytes: Uint8Array, digest: Digest, endpoint: Endpoint, what: string): Uint8Array {
  const actual = digestOf(bytes);
  if (actual !== digest) throw wrongDigest(endpoint, what, actual);
  return bytes;
}

function wrongDigest(endpoint: Endpoint, what: string, actual: string): RegistryError {
  const { host } = endpoint;
  const message = `${host} sent other bytes for ${what} than asked for: its bytes have the digest ${actual}`;
  return new RegistryError('corrupt', message, { host });
}

async function pushManifest(
  sender: Sender,
  endpoint: Endpoint,
  reference: Reference,
  bytes: Uint8Array,
  mediaType: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const digest = digestOf(bytes);
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length };
  const request = {
    path: `/${reference.path}/manifests/${reference.tag ?? digest}`,
    scopes: [`repository:${reference.path}:pull,push`],
    what: formatReference(reference),
    push: true,
  };
  const head = await sender.send(
    endpoint,
    { ...request, method: 'HEAD', headers: { accept: mediaType }, accept: [200, 404] },
    signal,
  );
  await discard(head);
  if (head.status === 200 && headerOf(head, 'docker-content-digest') === digest) return descriptor;
  const answer = await sender.send(
    endpoint,
    {
      ...request,
      method: 'PUT',
      headers: { 'content-type': mediaType },
      body: () => bytes,
      accept: [201, 200],
      slow: true,
    },
    signal,
  );
  await discard(answer);
  const said = headerOf(answer, 'docker-content-digest');
  if (said !== undefined && said !== digest) throw wrongDigest(endpoint, request.what, said);
  return descriptor;
}
