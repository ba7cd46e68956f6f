import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../host/system/lock.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { WorkerPool } from '../content/pool.ts';
import { BlobMissingError, DigestMismatchError, InvalidArchiveError } from '../content/store-error.ts';
import { semaphore, sharedWork } from '../shared-work.ts';
import { inheritOwner, type LayerDirectories } from './layer-directories.ts';
import type { LayerID, LayerRecord, LayerRecords } from './layer-records.ts';

/** A layer that exists as a blob somewhere, and here perhaps not at all. */
export interface LazyLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Opens the blob where it is. Its bytes are verified by whoever reads them. */
  readonly fetch: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

/** Shows that a layer is being unpacked while `work` runs. */
export type UnpackObserver = <T>(blob: Descriptor, work: () => Promise<T>) => Promise<T>;

/** A layer that something needs is no longer known. */
export class LayerMissingError extends Error {
  override readonly name = 'LayerMissingError';
  readonly layer: LayerID;

  constructor(layer: LayerID) {
    super(`layer ${layer} is not in the store: it was removed since`);
    this.layer = layer;
  }
}

/** Registries cut off those who ask for everything at once. */
const PARALLEL_FETCHES = 4;

export interface UnpackOptions {
  readonly directories: LayerDirectories;
  readonly records: LayerRecords;
  readonly content: ContentStore;
  readonly pool: () => WorkerPool;
  readonly unprivileged: boolean;
  /** Where a blob can be fetched from, if that is known. */
  readonly fetchOf: (digest: Digest) => LazyLayer['fetch'] | undefined;
  /** A directory for lock files. */
  readonly locks: string;
}

/** Brings lazy layers onto the disk. */
export interface LayerUnpackQueue {
  /** Puts a blob into the content store. Throws `BlobMissingError` if nobody has offered it. */
  fetch(descriptor: Descriptor, signal: AbortSignal): Promise<void>;
  /**
   * Makes sure that the files of layers, bottom first, are on the disk. Blobs are fetched side by side, unpacking goes
   * upwards; what another caller or process is at is waited for. Throws `LayerMissingError`, `BlobMissingError`,
   * `DigestMismatchError`, `InvalidArchiveError`, `StoreUnwritableError` and errors of fetching.
   */
  unpack(layers: readonly LayerID[], signal: AbortSignal, observe?: UnpackObserver): Promise<void>;
}

export function layerUnpackQueue(options: UnpackOptions): LayerUnpackQueue {
  const { content, directories, records, pool, unprivileged, locks } = options;
  const descriptors = new Map<Digest, Descriptor>();
  const slots = semaphore(PARALLEL_FETCHES);
  mkdirSync(locks, { recursive: true });

  const fetchOnce = sharedWork<Digest, void>(async (digest, signal) => {
    const descriptor = descriptors.get(digest);
    const fetch = options.fetchOf(digest);
    if (descriptor === undefined || fetch === undefined) throw new BlobMissingError(digest);
    using _slot = await slots.take(signal);
    await content.write(fetch(signal), { digest, size: descriptor.size }, signal);
  });

  const fetch = async (descriptor: Descriptor, signal: AbortSignal): Promise<void> => {
    const { digest, size } = descriptor;
    if (content.has(digest, size)) return;
    descriptors.set(digest, descriptor);
    await fetchOnce(digest, signal);
  };

  const unpackOnce = sharedWork<LayerID, void>(async (id, signal) => {
    using _lock = await lockFile(join(locks, id), 'exclusive', signal);
    // Another process may have been faster.
    const layer = records.get(id);
    if (layer === undefined) throw new LayerMissingError(id);
    if (layer.isUnpacked && directories.exists(id)) return;
    try {
      await apply(layer, signal);
    } catch (error) {
      const blob = layer.origin?.digest;
      const isDamaged = error instanceof InvalidArchiveError || error instanceof DigestMismatchError;
      // Bytes that went bad on the disk are fetched again, once; bytes that came so are not.
      if (!isDamaged || blob === undefined || (await content.verify(blob, signal))) throw error;
      await apply(layer, signal);
    }
  });

  const apply = async (layer: LayerRecord, signal: AbortSignal): Promise<void> => {
    const { id, origin, parents } = layer;
    if (origin === undefined) throw new LayerMissingError(id);
    await fetch(origin, signal);
    await using temporary = directories.temporary();
    const lower = parents.map(parent => directories.path(parent)).reverse();
    if (lower[0] !== undefined) inheritOwner(temporary.fs, lower[0]);
    const input = {
      blob: content.path(origin.digest),
      target: toBytePath(temporary.fs),
      lower: lower.map(toBytePath),
      diffID: layer.diffID ?? '',
      unprivileged,
    };
    const { hides } = await pool().run('applyLayer', input, signal);
    temporary.publish(id);
    records.setUnpacked(id, true, hides);
  };

  const missing = (layers: readonly LayerID[]): LayerRecord[] => {
    const found: LayerRecord[] = [];
    for (const [index, layer] of records.getAll(layers).entries()) {
      if (layer === undefined) throw new LayerMissingError(layers[index] ?? '');
      if (layer.isUnpacked && directories.exists(layer.id)) continue;
      if (layer.origin === undefined) throw new LayerMissingError(layer.id);
      found.push(layer);
    }
    return found;
  };

  return {
    fetch,
    async unpack(layers, signal, observe = (_, work) => work()) {
      const lazy = missing(layers);
      if (lazy.length === 0) return;
      const controller = new AbortController();
      const any = AbortSignal.any([signal, controller.signal]);
      const fetches = new Map<LayerID, Promise<void>>();
      try {
        // A layer may stand on others than its neighbours in this list.
        const below = lazy.flatMap(layer => layer.parents);
        const all = missing([...new Set([...below, ...layers])]);
        for (const { id, origin } of all) {
          if (origin === undefined) continue;
          const started = fetch(origin, any);
          // Its failure is seen when its turn comes.
          started.catch(() => {});
          fetches.set(id, started);
        }
        const done = new Set<LayerID>();
        const up = async (layer: LayerRecord): Promise<void> => {
          if (done.has(layer.id)) return;
          done.add(layer.id);
          for (const parent of all) if (layer.parents.includes(parent.id)) await up(parent);
          await fetches.get(layer.id);
          const { id, origin } = layer;
          if (origin !== undefined) await observe(origin, () => unpackOnce(id, signal));
        };
        for (const layer of all) await up(layer);
      } catch (error) {
        controller.abort(error);
        await Promise.allSettled(fetches.values());
        throw error;
      }
    },
  };
}
