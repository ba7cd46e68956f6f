import { resolve } from 'node:path';
import { directoryReader } from '../../engine/cache/remote/directory-place.ts';
import { inVertex } from '../../engine/cache/remote/progress.ts';
import type { EventSink } from '../../engine/status/event.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { enterIntoLayout, findInLayout } from '../../wire/session/content/layout-index.ts';
import type { BuildRequest, CacheRequest } from '../builder/request.ts';

interface CacheEntry {
  readonly Type: string;
  readonly Attrs: Record<string, string>;
}

/** The caches of a build as a daemon and the session understand them. */
export interface RemoteCaches {
  readonly imports: readonly CacheEntry[];
  readonly exports: readonly CacheEntry[];
  /** Directories of local caches by the id of their store. */
  readonly layouts: ReadonlyMap<string, string>;
  /** Enters what the daemon has written into the indexes of local caches. */
  finish(response: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
}

const DEFAULT_TAG = 'latest';

/**
 * Translates `--cache-from` and `--cache-to`. A local cache that cannot be found is left out (control-api facts, 4.4), with
 * a warning that says why.
 */
export async function remoteCaches(request: BuildRequest, emit: EventSink, signal: AbortSignal): Promise<RemoteCaches> {
  const layouts = new Map<string, string>();
  const imports: CacheEntry[] = [];
  for (const cache of request.cacheFrom) {
    const entry = await importEntry(cache, layouts, emit, signal);
    if (entry) imports.push(entry);
  }
  const exports = request.cacheTo.map(cache => exportEntry(cache, layouts));
  const isInline = /^(?:1|t|true)$/i.test(request.buildArgs.get('BUILDKIT_INLINE_CACHE') ?? '');
  if (isInline && !exports.some(({ Type }) => Type === 'inline')) exports.push({ Type: 'inline', Attrs: {} });
  return {
    imports,
    exports,
    layouts,
    async finish(response, signal) {
      const manifest = response['cache.manifest'];
      if (manifest === undefined) return;
      const descriptor: Descriptor = JSON.parse(manifest);
      for (const { type, attributes } of request.cacheTo) {
        const { dest, tag = DEFAULT_TAG } = attributes;
        if (type === 'local' && dest !== undefined) await enterIntoLayout(resolve(dest), descriptor, [{ tag }], signal);
      }
    },
  };
}

async function importEntry(
  { type, attributes }: CacheRequest,
  layouts: Map<string, string>,
  emit: EventSink,
  signal: AbortSignal,
): Promise<CacheEntry | undefined> {
  if (type !== 'local') return { Type: type, Attrs: withCredentials(type, attributes) };
  const { src, tag = DEFAULT_TAG } = attributes;
  if (src === undefined) return { Type: type, Attrs: { ...attributes } };
  const found = attributes['digest'] ?? (await findInLayout(resolve(src), tag).catch(() => undefined))?.digest;
  if (found === undefined) {
    await warnOfMissing(src, tag, emit, signal);
    return undefined;
  }
  layouts.set(`local:${src}`, resolve(src));
  return { Type: type, Attrs: { ...attributes, digest: found } };
}

/** Says why a directory has no cache that could be imported. */
async function warnOfMissing(src: string, tag: string, emit: EventSink, signal: AbortSignal): Promise<void> {
  const now = () => BigInt(Date.now()) * 1_000_000n;
  await inVertex(`importing cache manifest from ${src}`, { emit, now }, async vertex => {
    try {
      await directoryReader(src, tag).resolve(signal);
    } catch (error) {
      signal.throwIfAborted();
      vertex.warn(error instanceof Error ? error.message : String(error));
    }
  });
}

function exportEntry({ type, attributes }: CacheRequest, layouts: Map<string, string>): CacheEntry {
  const { dest } = attributes;
  if (type === 'local' && dest !== undefined) layouts.set(`local:${dest}`, resolve(dest));
  return { Type: type, Attrs: withCredentials(type, attributes) };
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
