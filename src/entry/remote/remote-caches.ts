import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { directoryReader, machineDirectories } from '../../engine/cache/remote/directory-place.ts';
import { inVertex } from '../../engine/cache/remote/progress.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { parseGoBool } from '../../wire/go-bool.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { type Digest, hexOf, isDigest } from '../../wire/oci/digest.ts';
import { parseManifest } from '../../wire/oci/manifest.ts';
import type { BlobStore } from '../../wire/session/content/blob-store.ts';
import { enterIntoLayout, findInLayout } from '../../wire/session/content/layout-index.ts';
import { layoutStore } from '../../wire/session/content/layout-store.ts';
import { BuildRequestError } from '../builder/frontend-options.ts';
import type { BuildRequest, CacheRequest } from '../builder/request.ts';
import type { RemoteConnection } from './remote-build.ts';

interface CacheEntry {
  readonly Type: string;
  readonly Attrs: Record<string, string>;
}

/** The caches of a build as a daemon and the session understand them. */
export interface RemoteCaches {
  readonly imports: readonly CacheEntry[];
  readonly exports: readonly CacheEntry[];
  /** Directories of local caches by the id of their store. */
  readonly stores: ReadonlyMap<string, BlobStore>;
  /** Enters what the daemon has written into the indexes of local caches. */
  finish(response: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
}

const DEFAULT_TAG = 'latest';
/** No manifest of a cache is larger: BuildKit reads none that is. */
const MANIFEST_LIMIT = 1024 * 1024;

/**
 * Translates `--cache-from` and `--cache-to`. A local cache that cannot be found is left out (control-api facts, 4.4), with
 * a warning that says why; so is said what the daemon does not know.
 * @throws BuildRequestError for cache mounts that no daemon could export
 */
export async function remoteCaches(
  request: BuildRequest,
  { address, isOutcrop }: Pick<RemoteConnection, 'address' | 'isOutcrop'>,
  emit: EventSink,
  signal: AbortSignal,
): Promise<RemoteCaches> {
  for (const { type, attributes } of request.cacheTo)
    if (isTrue(attributes['mounts']) && type !== 'registry' && type !== 'local')
      throw new BuildRequestError('mounts=true: only caches of type registry and local carry cache mounts');
  const progress = { emit, now: () => BigInt(Date.now()) * 1_000_000n };
  const unknown = unknownToBuildKit(request);
  if (unknown.length > 0 && !(await isOutcrop(signal))) {
    await inVertex(`[internal] what ${address} knows of caches`, progress, async vertex => {
      for (const text of unknown) vertex.warn(`${text}: the builder ${address} is not outcrop`);
    });
  }
  const stores = new Map<string, BlobStore>();
  const imports: CacheEntry[] = [];
  for (const cache of request.cacheFrom) {
    const entry = await importEntry(cache, stores, progress, signal);
    if (entry) imports.push(entry);
  }
  const written = new Map<string, string>();
  const exports: CacheEntry[] = [];
  for (const cache of request.cacheTo) exports.push(await exportEntry(cache, stores, written));
  const isInline = isTrue(request.buildArgs.get('BUILDKIT_INLINE_CACHE'));
  if (isInline && !exports.some(({ Type }) => Type === 'inline')) exports.push({ Type: 'inline', Attrs: {} });
  return {
    imports,
    exports,
    stores,
    async finish(response, signal) {
      const manifest = response['cache.manifest'];
      if (manifest === undefined) return;
      const answered: Descriptor = JSON.parse(manifest);
      for (const { type, attributes } of request.cacheTo) {
        const { dest, tag = DEFAULT_TAG } = attributes;
        if (type !== 'local' || dest === undefined) continue;
        const directory = resolve(dest);
        const descriptor = await writtenManifest(directory, written.get(dest), answered);
        if (descriptor === undefined) continue;
        await enterIntoLayout(directory, descriptor, [{ tag }], signal);
        if (isTrue(attributes['reset'])) await machineDirectories.writer(directory, tag).sweep(signal);
      }
    },
  };
}

/** What is asked of caches that only this engine does. BuildKit passes attributes over that it does not know. */
function unknownToBuildKit({ cacheFrom, cacheTo }: BuildRequest): string[] {
  const asks = (key: string) => cacheTo.some(({ attributes }) => isTrue(attributes[key]));
  return [
    ...(asks('mounts') ? ['mounts=true: no cache mount is exported'] : []),
    ...(asks('merge') ? ['merge=true: what the cache held before is replaced'] : []),
    ...(cacheFrom.some(({ attributes }) => attributes['max-age'] !== undefined)
      ? ['max-age: results of any age are used']
      : []),
  ];
}

async function importEntry(
  { type, attributes }: CacheRequest,
  stores: Map<string, BlobStore>,
  progress: Parameters<typeof inVertex>[1],
  signal: AbortSignal,
): Promise<CacheEntry | undefined> {
  if (type !== 'local') return { Type: type, Attrs: withCredentials(type, attributes) };
  const { src, tag = DEFAULT_TAG } = attributes;
  if (src === undefined) return { Type: type, Attrs: { ...attributes } };
  const found = attributes['digest'] ?? (await findInLayout(resolve(src), tag).catch(() => undefined))?.digest;
  if (found === undefined) {
    await warnOfMissing(src, tag, progress, signal);
    return undefined;
  }
  const { writing: _, ...readOnly } = layoutStore(resolve(src));
  stores.set(`local:${src}`, readOnly);
  return { Type: type, Attrs: { ...attributes, digest: found } };
}

/** Says why a directory has no cache that could be imported. */
async function warnOfMissing(
  src: string,
  tag: string,
  progress: Parameters<typeof inVertex>[1],
  signal: AbortSignal,
): Promise<void> {
  await inVertex(`importing cache manifest from ${src}`, progress, async vertex => {
    try {
      await directoryReader(src, tag).resolve(signal);
    } catch (error) {
      signal.throwIfAborted();
      vertex.warn(error instanceof Error ? error.message : String(error));
    }
  });
}

/** @param written takes the name under which the last blob was written into a directory */
async function exportEntry(
  { type, attributes }: CacheRequest,
  stores: Map<string, BlobStore>,
  written: Map<string, string>,
): Promise<CacheEntry> {
  const { dest, tag = DEFAULT_TAG } = attributes;
  if (type !== 'local' || dest === undefined) return { Type: type, Attrs: withCredentials(type, attributes) };
  const { writing, ...store } = layoutStore(resolve(dest));
  const noting = writing && {
    ...writing,
    open(ref: string) {
      written.set(dest, ref);
      return writing.open(ref);
    },
  };
  stores.set(`local:${dest}`, noting === undefined ? store : { ...store, writing: noting });
  // The index is ours: what is there already, the daemon finds by its digest.
  const before = await findInLayout(resolve(dest), tag).catch(() => undefined);
  return { Type: type, Attrs: { ...attributes, ...(before === undefined ? {} : { digest: before.digest }) } };
}

/**
 * The manifest that the daemon has written into a directory; undefined when it has written none. The answer names only one
 * of several caches, so that what was written last is looked at first: that is the manifest, unless it was there already.
 *
 * @param ref - the name under which the daemon wrote last: it ends with the digest.
 */
async function writtenManifest(
  directory: string,
  ref: string | undefined,
  answered: Descriptor,
): Promise<Descriptor | undefined> {
  const pathOf = (digest: Digest): string => join(directory, 'blobs', 'sha256', hexOf(digest));
  const last = /sha256:[0-9a-f]{64}$/.exec(ref ?? '')?.[0] ?? '';
  if (isDigest(last) && last !== answered.digest) {
    try {
      const { size } = await stat(pathOf(last));
      if (size <= MANIFEST_LIMIT)
        return { mediaType: parseManifest(await readFile(pathOf(last))).mediaType, digest: last, size };
    } catch {
      // It is a layer or a config.
    }
  }
  return existsSync(pathOf(answered.digest)) ? answered : undefined;
}

function isTrue(text: string | undefined): boolean {
  return parseGoBool(text ?? '') === true;
}

const FROM_ENVIRONMENT: Readonly<Record<string, readonly (readonly [attribute: string, variable: string])[]>> = {
  gha: [
    ['token', 'ACTIONS_RUNTIME_TOKEN'],
    ['url', 'ACTIONS_CACHE_URL'],
    ['url_v2', 'ACTIONS_RESULTS_URL'],
  ],
  s3: [
    ['access_key_id', 'AWS_ACCESS_KEY_ID'],
    ['secret_access_key', 'AWS_SECRET_ACCESS_KEY'],
    ['session_token', 'AWS_SESSION_TOKEN'],
  ],
};

/** What the environment knows of a cache, for the daemon has another environment (buildx does so). */
function withCredentials(type: string, attributes: CacheRequest['attributes']): Record<string, string> {
  const all = { ...attributes };
  for (const [attribute, variable] of FROM_ENVIRONMENT[type] ?? []) {
    const value = process.env[variable];
    if (value !== undefined && value !== '') all[attribute] ??= value;
  }
  return all;
}
