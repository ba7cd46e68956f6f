/**
 * Cache mounts that travel with a cache (moby/buildkit#1512): further layers of its manifest, which no record names, so
 * that BuildKit passes them over. What they are is in an annotation.
 */
import { chmodSync, createReadStream, createWriteStream, lchownSync, rmSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { inUserNamespace } from '../../../host/system/overlay.ts';
import type { WrittenBlob } from '../../../store/content/blob-writer.ts';
import { workerPool } from '../../../store/content/pool.ts';
import { toBytePath } from '../../../wire/fsutil/byte-path.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type Digest, isDigest } from '../../../wire/oci/digest.ts';
import { layerMediaType } from '../../../wire/oci/media-types.ts';
import {
  type CacheMountStore,
  cacheNameOf,
  cachesNamed,
  fillCacheMount,
  holdCacheMount,
} from '../../ops/exec/cache-mount.ts';
import { formatTimestamp } from '../../status/timestamp.ts';
import { checkedBytes } from './lost-layer.ts';
import type { CacheLayer, MountExportDeps, MountName, ProgressDeps } from './port.ts';
import { inVertex } from './progress.ts';

const annotation = 'io.outcrop.cache-mount';
const READ_SIZE = 256 * 1024;

/** A cache mount in a manifest. */
export interface MountLayer extends MountName {
  readonly description: string;
  /** Of the directory itself. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

/** A cache mount of a source that can be read. */
export interface ImportedMount extends MountLayer {
  /** The identity of the source. */
  readonly source: string;
  readonly open: CacheLayer['open'];
}

/** What a layer's annotation says of a cache mount; undefined for any other layer. */
export function mountLayerOf(descriptor: Descriptor): MountLayer | undefined {
  const { [annotation]: text, 'containerd.io/uncompressed': diffId = '' } = descriptor.annotations ?? {};
  if (text === undefined || !isDigest(diffId)) return undefined;
  let about: Partial<Record<string, unknown>>;
  try {
    about = Object(JSON.parse(text));
  } catch {
    return undefined;
  }
  const { id, seeded, description, mode, uid, gid } = about;
  if (typeof id !== 'string') return undefined;
  const number = (value: unknown, fallback: number) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : fallback;
  return {
    id,
    isSeeded: seeded === true,
    description: typeof description === 'string' ? description : `cached mount ${id}`,
    mode: number(mode, 0o755) & 0o7777,
    uid: number(uid, 0),
    gid: number(gid, 0),
    descriptor,
    diffId,
  };
}

/** Whether a manifest's entry is a cache mount. */
export function isMountLayer({ annotations }: Descriptor): boolean {
  return annotations?.[annotation] !== undefined;
}

/** The name of a cache mount among those of a manifest. */
export function mountKey({ id, isSeeded }: MountName): string {
  return `${isSeeded} ${id}`;
}

/** Blobs of cache mounts, files of this export alone, which go when this is disposed: nothing else needs them here. */
interface PackedMounts extends Disposable {
  readonly layers: readonly CacheLayer[];
}

/**
 * Makes blobs of the cache mounts that steps of a build name and that have files; no step can write to one meanwhile.
 *
 * @param step - shows work on one
 */
export async function packMounts(
  { root, names, content }: MountExportDeps,
  now: ProgressDeps['now'],
  step: (name: string, work: () => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<PackedMounts> {
  using stack = new DisposableStack();
  const layers: CacheLayer[] = [];
  const pack = async (name: MountName, cache: string): Promise<void> => {
    using held = await holdCacheMount(root, cache, signal);
    if (held === undefined) return;
    const output = content.ingestPath();
    stack.defer(() => rmSync(output, { force: true }));
    const input = { directory: held.path, output, compression: { type: 'zstd' } } as const;
    const blob = await workerPool().run('packTree', input, signal);
    layers.push(layerOf(name, held, blob, output));
  };
  const layerOf = (
    { id, isSeeded }: MountName,
    mount: { readonly path: string; readonly description: string },
    { digest, size, diffID }: WrittenBlob,
    file: string,
  ): CacheLayer => {
    const { mode, uid, gid } = statSync(mount.path);
    // The text of the step stays here: BuildKit's caches do not tell it either.
    const [what = ''] = mount.description.split(' from ');
    const about = { id, ...(isSeeded ? { seeded: true } : {}), description: what, mode: mode & 0o7777, uid, gid };
    const annotations = {
      'buildkit/createdat': formatTimestamp(now()),
      'containerd.io/uncompressed': diffID,
      [annotation]: JSON.stringify(about),
    };
    return {
      digest,
      diffId: diffID,
      descriptor: { mediaType: layerMediaType('oci', 'zstd', false), digest, size, annotations },
      // Opened when it is read.
      async *open(offset, inner) {
        yield* createReadStream(file, { start: offset, highWaterMark: READ_SIZE, signal: inner });
      },
    };
  };
  const seen = new Map(names().map(name => [mountKey(name), name]));
  for (const name of seen.values()) {
    // Of several that start with other files, another machine could not tell which is which.
    const [cache, ...others] = cachesNamed(root, name.id, name.isSeeded);
    if (cache === undefined || others.length > 0) continue;
    await step(`packing cache mount ${name.id}`, () => pack(name, cache));
  }
  const owned = stack.move();
  return { layers, [Symbol.dispose]: () => owned.dispose() };
}

/** What filling cache mounts takes of the engine. */
interface FillDeps extends ProgressDeps, Pick<MountExportDeps, 'root' | 'content'> {
  /** The cache mounts of the sources of a build, best first. */
  readonly imported: () => Promise<readonly ImportedMount[]>;
}

/**
 * Cache mounts that are filled from imported caches when a step asks for one that has no files. One that cannot be filled
 * is empty, with a warning.
 */
export function fillingMounts(own: CacheMountStore, deps: FillDeps): CacheMountStore {
  return {
    ...own,
    async acquire(request, signal) {
      const cache = cacheNameOf(request);
      const isSeeded = request.seed !== undefined;
      const mount = (await deps.imported()).find(one => one.id === request.id && one.isSeeded === isSeeded);
      if (mount !== undefined) await fillFrom(mount, cache, deps, signal);
      return own.acquire(request, signal);
    },
  };
}

async function fillFrom(
  mount: ImportedMount,
  cache: string,
  { root, content, emit, now }: FillDeps,
  signal: AbortSignal,
): Promise<void> {
  const { descriptor, diffId, source, description, mode, uid, gid } = mount;
  const unpack = async (directory: string): Promise<void> => {
    const blob = content.ingestPath();
    try {
      await pipeline(checkedBytes(descriptor, mount.open(0, signal)), createWriteStream(blob), { signal });
      const input = { blob, target: toBytePath(directory), lower: [], diffID: diffId, unprivileged: inUserNamespace() };
      await workerPool().run('applyLayer', input, signal);
    } finally {
      rmSync(blob, { force: true });
    }
    lchownSync(directory, uid, gid);
    chmodSync(directory, mode);
  };
  // Shown only when there is something to do: that is known under the cache's lock.
  const fill = (directory: string) =>
    inVertex(`restoring cache mount ${mount.id} from ${source}`, { emit, now }, async vertex => {
      try {
        await unpack(directory);
      } catch (error) {
        signal.throwIfAborted();
        vertex.warn(
          `cache mount ${mount.id}: ${error instanceof Error ? error.message : String(error)}: it stays empty`,
        );
        throw error;
      }
    });
  try {
    await fillCacheMount(root, cache, { description, fill }, signal);
  } catch {
    signal.throwIfAborted();
  }
}
