import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inUserNamespace } from '../../host/system/overlay.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { ContentStore } from '../content/content-store.ts';
import { type WorkerPool, workerPool } from '../content/pool.ts';
import type { Database } from '../database.ts';
import type { ContentChecksums } from './checksum.ts';
import { type SnapshotContents, snapshotContents } from './checksum-snapshots.ts';
import { type LayerBlob, type LayerBlobOptions, layerBlobs } from './layer-blobs.ts';
import { layerDirectories, type TemporaryLayer } from './layer-directories.ts';
import { layerHolds } from './layer-holds.ts';
import { type ActiveLayer, activateLayer, type LayerView, type MountableLayer, viewLayers } from './layer-mounts.ts';
import { type LayerID, type LayerRecord, layerRecords } from './layer-records.ts';
import { LayerMissingError, type LazyLayer, layerUnpackQueue, type UnpackObserver } from './unpack-layers.ts';

/**
 * Layers on the disk in overlay's format. A snapshot is a list of them, bottom first. A layer exists only after an atomic
 * rename and then never changes. The process must be in a mount namespace of its own before it mounts anything.
 */
export interface LayerStore extends AsyncDisposable {
  /** Starts a layer on others; they are unpacked first. Throws what `unlazy` and mounting throw. */
  prepare(layers: readonly LayerID[], signal: AbortSignal): Promise<ActiveLayer>;
  /** Shows layers as one read-only tree; they are unpacked first. Throws what `unlazy` and mounting throw. */
  view(layers: readonly LayerID[], signal: AbortSignal): Promise<LayerView>;
  /**
   * Brings the files of layers onto the disk, fetching blobs that are not here. Throws `LayerMissingError`,
   * `BlobMissingError`, `DigestMismatchError`, `InvalidArchiveError`, `StoreUnwritableError` and errors of fetching.
   */
  unlazy(layers: readonly LayerID[], signal: AbortSignal, observe?: UnpackObserver): Promise<void>;
  /** The files of layers and their checksums, without a mount; at least one layer. They are unpacked first. */
  contents(layers: readonly LayerID[], signal: AbortSignal): Promise<ContentChecksums>;
  /**
   * The layers that turn `lower` into `upper`: what is left of `upper` if it begins with `lower`, else one layer with the
   * differences of both trees. They are fit to be alone.
   */
  diff(lower: readonly LayerID[], upper: readonly LayerID[], signal: AbortSignal): Promise<readonly LayerID[]>;
  /**
   * The same layers for use on others than they were made on: they change and remove what the original ones do, and hide
   * nothing else. Their blobs are equal. Those of images are returned as they are.
   *
   * @param below What they are to be on.
   */
  stack(ids: readonly LayerID[], below: readonly LayerID[], signal: AbortSignal): Promise<readonly LayerID[]>;

  /**
   * Says where a blob can be fetched from, for as long as this process runs. A cached result may stand on a lazy layer of
   * an earlier process; this is what makes it readable.
   */
  offer(layer: LazyLayer): void;
  /** Takes an offer back: the blob turned out not to be there. */
  withdraw(blob: Digest): void;
  /**
   * Adds a layer without fetching it, or finds the one that is there; returns its id, which follows from the chain id of
   * its tar and those below, so that equal base images share their layers.
   *
   * @param parents The layers below, bottom first, as this method returned them.
   */
  addLazy(layer: LazyLayer, parents?: readonly LayerID[]): LayerID;
  /** Makes a blob of a layer. Throws what `unlazy` and `layerTar` throw. */
  toBlob(id: LayerID, options: LayerBlobOptions, signal: AbortSignal): Promise<LayerBlob>;

  /** Fetches the blob that a layer came as, if it is not here; a layer that was made here has none to fetch. */
  fetch(id: LayerID, signal: AbortSignal): Promise<void>;
  /** Whether the files of a layer are here, or can be had: its blob is in the content store or was offered. */
  isReachable(id: LayerID): boolean;

  /** Whether a layer is known. */
  has(id: LayerID): boolean;
  get(id: LayerID): LayerRecord | undefined;
  /** All layers, oldest first. */
  list(): LayerRecord[];
  /** The directory of a layer's files, which may not be there yet. */
  path(id: LayerID): string;
  /** All layers with what each takes on the disk, in bytes; 0 where only the blob is known. */
  usage(signal: AbortSignal): Promise<(LayerRecord & { readonly size: number })[]>;
  /** The digests of blobs that layers came as or were made into. */
  blobs(): Set<Digest>;
  /** Removes layers that nobody holds. Only for who holds the store's lock alone. */
  remove(ids: Iterable<LayerID>): Promise<void>;
  /** Holds every layer that is made, asked for or used from now on, by whomever, until it is disposed. */
  hold(): Disposable;
  /** Whether somebody holds a layer: a build that runs may need it. */
  isHeld(id: LayerID): boolean;
  /** Removes what crashed processes left. Only when no other process uses the store (see `shareStore`). */
  sweep(): void;
}

export interface LayerStoreOptions {
  /** `$OUTCROP_ROOT`: layers go to `layers/` in it. */
  readonly root: string;
  readonly content: ContentStore;
  readonly database: Database;
  /** Where a blob can be fetched from that nobody has offered. */
  readonly elsewhere?: (blob: Digest) => LazyLayer['fetch'] | undefined;
  readonly pool?: () => WorkerPool;
  /** Nanoseconds since the epoch. */
  readonly now?: () => bigint;
}

/** Opens the layer store of a root. Throws `StoreUnwritableError` and `DatabaseError`. */
export function openLayerStore(options: LayerStoreOptions): LayerStore {
  const { root, content, database, pool = workerPool, now = () => BigInt(Date.now()) * 1_000_000n } = options;
  const directories = layerDirectories(join(root, 'layers'));
  const records = layerRecords(database);
  const unprivileged = inUserNamespace();
  const offers = new Map<Digest, LazyLayer['fetch']>();
  const locks = join(root, 'locks');
  const fetchOf = (digest: Digest): LazyLayer['fetch'] | undefined => offers.get(digest) ?? options.elsewhere?.(digest);
  const queue = layerUnpackQueue({ directories, records, content, pool, unprivileged, locks, fetchOf });
  const toBlob = layerBlobs({ directories, records, content, pool, queue });
  const used = new Set<LayerID>();
  const holds = layerHolds();
  let checksums: SnapshotContents | undefined;

  const milliseconds = (): number => Number(now() / 1_000_000n);

  const require = (ids: readonly LayerID[]): LayerRecord[] =>
    records.getAll(ids).map((layer, index) => {
      if (layer === undefined) throw new LayerMissingError(ids[index] ?? '');
      return layer;
    });

  const add = (
    temporary: TemporaryLayer,
    about: Pick<LayerRecord, 'parents' | 'hides' | 'diffOf' | 'blobOf'>,
    id = randomBytes(16).toString('hex'),
  ): LayerID => {
    temporary.publish(id);
    holds.note([id]);
    // Another build may have made the same.
    if (records.get(id) !== undefined) return id;
    records.add({ id, isUnpacked: true, createdAt: now(), lastUsedAt: milliseconds(), ...about });
    return id;
  };

  const use = (ids: readonly LayerID[]): void => {
    for (const id of ids) used.add(id);
    holds.note(ids);
  };

  const unlazy = async (ids: readonly LayerID[], signal: AbortSignal, observe?: UnpackObserver): Promise<void> => {
    use(ids);
    await queue.unpack(ids, signal, observe);
  };

  const mountable = async (ids: readonly LayerID[], signal: AbortSignal): Promise<readonly MountableLayer[]> => {
    await unlazy(ids, signal);
    return require(ids);
  };

  const contents = (): SnapshotContents => {
    checksums ??= snapshotContents({
      layerPath: directories.path,
      directory: join(root, 'checksums'),
      database,
      pool,
      overlayXattrs: unprivileged ? 'user.overlay.' : 'trusted.overlay.',
    });
    return checksums;
  };

  const stack = (ids: readonly LayerID[]): string[] => ids.map(id => toBytePath(directories.path(id))).reverse();

  /** What a step left on the disk also has directories that it did not change, and hides all of those that it made. */
  const adapt = async (id: LayerID, below: readonly LayerID[], signal: AbortSignal): Promise<LayerID> => {
    const [layer] = require([records.get(id)?.blobOf ?? id]);
    if (layer === undefined || layer.origin !== undefined || layer.parents.length === 0) return layer?.id ?? id;
    const { id: original, parents, diffOf } = layer;
    if (diffOf === undefined && String(parents) === String(below)) return original;
    const adapted = createHash('sha256')
      .update(`${original} on ${below.join(' ')}`)
      .digest('hex');
    holds.note([original, adapted]);
    if (records.get(adapted) !== undefined) return adapted;
    await unlazy([...new Set([...parents, ...below, original])], signal);
    await using temporary = directories.temporary();
    const input = {
      lower: stack(parents),
      upper: toBytePath(directories.path(original)),
      below: stack(below),
      target: toBytePath(temporary.fs),
    };
    const { hides } = await pool().run('diffLayer', input, signal);
    return add(temporary, { parents: [...below], hides, blobOf: original }, adapted);
  };

  const flush = (): void => {
    if (used.size === 0) return;
    records.touch(used, milliseconds());
    used.clear();
  };

  const store: LayerStore = {
    unlazy,
    toBlob(id, blobOptions, signal) {
      use([id]);
      return toBlob(id, blobOptions, signal);
    },
    async prepare(ids, signal) {
      const layers = await mountable(ids, signal);
      return activateLayer(layers, { directories, unprivileged }, temporary =>
        add(temporary, { parents: [...ids], hides: ids.length > 0 }),
      );
    },
    async view(ids, signal) {
      return viewLayers(await mountable(ids, signal), { directories, unprivileged });
    },
    async contents(ids, signal) {
      await unlazy(ids, signal);
      return contents().open(ids);
    },
    async diff(lower, upper, signal) {
      if (lower.every((id, index) => upper[index] === id)) return store.stack(upper.slice(lower.length), [], signal);
      await unlazy([...new Set([...lower, ...upper])], signal);
      await using temporary = directories.temporary();
      const input = { lower: stack(lower), upper: stack(upper), target: toBytePath(temporary.fs) };
      const { hides } = await pool().run('diffLayer', input, signal);
      const whole = add(temporary, { parents: [...lower], hides, diffOf: [...upper] });
      return hides ? store.stack([whole], [], signal) : [whole];
    },
    async stack(ids, below, signal) {
      holds.note(ids);
      const all = [...below];
      for (const id of ids) all.push(await adapt(id, all, signal));
      return all.slice(below.length);
    },
    offer({ descriptor, fetch }) {
      offers.set(descriptor.digest, fetch);
    },
    withdraw(blob) {
      offers.delete(blob);
    },
    addLazy(layer, parents = []) {
      const { descriptor, diffId } = layer;
      store.offer(layer);
      const id = lazyID(diffId, parents);
      use([id]);
      const known = records.get(id);
      if (known !== undefined && (known.isUnpacked || known.origin?.digest === descriptor.digest)) return id;
      // The same tar, compressed otherwise: the newer offer is the one that can be fetched.
      if (known !== undefined && known.origin !== undefined && content.has(known.origin.digest)) return id;
      const at = now();
      database.transaction(() => {
        if (known !== undefined) records.remove(id);
        records.add({
          id,
          parents: [...parents],
          diffID: diffId,
          origin: descriptor,
          isUnpacked: false,
          hides: true,
          createdAt: at,
          lastUsedAt: milliseconds(),
        });
      });
      return id;
    },
    async fetch(id, signal) {
      holds.note([id]);
      const { origin } = require([id])[0] ?? {};
      if (origin !== undefined) await queue.fetch(origin, signal);
    },
    isReachable(id) {
      holds.note([id]);
      const layer = records.get(id);
      if (layer === undefined || layer.isUnpacked) return layer !== undefined;
      const { origin } = layer;
      return origin !== undefined && (content.has(origin.digest, origin.size) || fetchOf(origin.digest) !== undefined);
    },
    has(id) {
      holds.note([id]);
      return records.get(id) !== undefined;
    },
    get: id => records.get(id),
    list: () => records.list(),
    path: id => directories.path(id),
    async usage(signal) {
      // A daemon lives long: what it used must not look older than it is.
      flush();
      const found: (LayerRecord & { readonly size: number })[] = [];
      for (const layer of records.list()) {
        let size = layer.isUnpacked ? layer.size : 0;
        if (size === undefined) {
          size = await pool().run('measureLayer', { path: toBytePath(directories.path(layer.id)) }, signal);
          records.setSize(layer.id, size);
        }
        found.push({ ...layer, size });
      }
      return found;
    },
    blobs: () => records.blobs(),
    async remove(ids) {
      const gone = [...ids];
      // Rows go first: none ever points at what is not there.
      database.transaction(() => {
        for (const id of gone) records.remove(id);
      });
      for (const id of gone) {
        used.delete(id);
        contents().forget(id);
      }
      await Promise.all(gone.map(id => directories.remove(id)));
    },
    hold: holds.hold,
    isHeld: holds.isHeld,
    sweep() {
      directories.sweep();
      content.sweep();
      for (const name of readdirSync(locks)) rmSync(join(locks, name), { force: true });
      const known = new Set<LayerID>();
      for (const layer of records.list()) {
        if (layer.isUnpacked && !directories.exists(layer.id)) {
          if (layer.origin === undefined) {
            records.remove(layer.id);
            continue;
          }
          records.setUnpacked(layer.id, false, layer.hides);
        }
        if (layer.isUnpacked || directories.exists(layer.id)) known.add(layer.id);
      }
      for (const id of directories.ids()) {
        if (!known.has(id)) rmSync(directories.path(id), { recursive: true, force: true });
      }
    },
    async [Symbol.asyncDispose]() {
      flush();
      await directories.settle();
      checksums?.save();
      checksums?.[Symbol.dispose]();
    },
  };
  return store;
}

/** The id of a layer that came as a blob: the chain id (OCI image spec, config.md, "Layer ChainID") of ids below. */
function lazyID(diffID: Digest, parents: readonly LayerID[]): LayerID {
  const below = parents.at(-1);
  const [algorithm, hex] = diffID.split(':');
  if (below === undefined) return hex ?? algorithm ?? '';
  return createHash('sha256').update(`sha256:${below} ${diffID}`).digest('hex');
}
