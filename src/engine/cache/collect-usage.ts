import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import { readStoredImage } from '../../store/content/stored-image.ts';
import type { Database } from '../../store/database.ts';
import type { RootLayout } from '../../store/root-layout.ts';
import { layerBlobOwners } from '../../store/snapshot/layer-blob-owners.ts';
import type { LayerID, LayerRecord } from '../../store/snapshot/layer-records.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { cacheMountDirectories, gitDirectories, type KeptDirectory } from './kept-directories.ts';
import { type SqliteKeyStore, sqliteKeyStore } from './sqlite-key-store.ts';
import { type StoredResultNames, storedResults } from './stored-results.ts';
import type { UsageRecord } from './usage.ts';

/** An image that cannot be read, so that nobody can say what belongs to it. */
export class DamagedImageError extends Error {
  override readonly name = 'DamagedImageError';

  constructor(image: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`image ${image} is damaged: ${reason}; remove it with \`outcrop rmi ${image}\`, or build it again`, {
      cause,
    });
  }
}

/** The stores of a root, as far as usage and pruning go. */
export interface CacheStores {
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly directories: RootLayout;
  /** The layers of a result of the local cache, bottom first; undefined for one that is not known. */
  readonly layersOf: (resultId: string) => readonly LayerID[] | undefined;
}

/** What a root keeps. */
export interface CacheUsage {
  readonly records: readonly UsageRecord[];
  /** Named images: how many blobs they have here, and their bytes. They are no cache. */
  readonly images: { readonly names: number; readonly size: number };
  /** Blobs that no named image and no layer needs. */
  readonly unreferenced: { readonly digests: readonly Digest[]; readonly size: number };
}

/** The same with what removal needs. */
export interface CollectedUsage extends CacheUsage {
  readonly keys: SqliteKeyStore;
  readonly results: readonly (StoredResultNames & { readonly layers: readonly LayerID[] | undefined })[];
  readonly kept: ReadonlyMap<string, KeptDirectory>;
  /** The blobs that named images consist of. */
  readonly imageBlobs: ReadonlySet<Digest>;
}

/**
 * Looks at everything that a root keeps. Layers whose size is not known yet are measured.
 * @param isInUse whether a build that runs may need a layer
 */
export async function collectUsage(
  stores: CacheStores,
  signal: AbortSignal,
  isInUse: (layer: LayerID) => boolean = () => false,
): Promise<CollectedUsage> {
  const { content, database, directories, layersOf } = stores;
  const keys = sqliteKeyStore(database);
  const results = storedResults(database, keys).map(result => ({ ...result, layers: layersOf(result.id) }));
  const images = await imageContents(stores, signal);
  const layers = (await layerRecords(stores, results, images, signal)).map(record =>
    isInUse(record.id) ? { ...record, inUse: true } : record,
  );
  const kept = [
    ...(await cacheMountDirectories(directories.cacheMounts, signal)),
    ...(await gitDirectories(directories.git, signal)),
  ];
  const needed = stores.layers.blobs();
  const unreferenced = content.list().filter(({ digest }) => !needed.has(digest) && !images.blobs.has(digest));
  const here = [...images.blobs].map(digest => content.size(digest) ?? 0);
  return {
    keys,
    results,
    records: [...layers, ...kept.map(({ record }) => record)],
    kept: new Map(kept.map(directory => [directory.record.id, directory])),
    imageBlobs: images.blobs,
    images: { names: images.names, size: sum(here) },
    unreferenced: {
      digests: unreferenced.map(({ digest }) => digest),
      size: sum(unreferenced.map(({ size }) => size)),
    },
  };
}

interface ImageContents {
  readonly names: number;
  readonly blobs: ReadonlySet<Digest>;
  readonly diffIds: ReadonlySet<Digest>;
}

/** What named images consist of. @throws DamagedImageError */
async function imageContents({ content, images }: CacheStores, signal: AbortSignal): Promise<ImageContents> {
  const blobs = new Set<Digest>();
  const diffIds = new Set<Digest>();
  const records = images.list();
  for (const { name, target } of records) {
    const image = await readStoredImage(content, target, signal).catch(cause => {
      if (signal.aborted) throw cause;
      throw new DamagedImageError(name, cause);
    });
    for (const digest of image.blobs.keys()) blobs.add(digest);
    for (const diffId of image.diffIds) diffIds.add(diffId);
  }
  return { names: records.length, blobs, diffIds };
}

async function layerRecords(
  { content, database, layers: store }: CacheStores,
  results: CollectedUsage['results'],
  images: ImageContents,
  signal: AbortSignal,
): Promise<UsageRecord[]> {
  const layers = await store.usage(signal);
  const owners = layerBlobOwners(database, layers);
  const lastUses = lastUsesOf(layers, results);
  const steps = new Map(results.map(({ step, layers: stack = [] }) => [stack.at(-1), step]));
  const counted = new Set<Digest>();
  return layers.map(layer => {
    let size = layer.size;
    for (const digest of owners.get(layer.id) ?? []) {
      // A blob that several layers share goes with the last of them; it is counted once.
      if (images.blobs.has(digest) || counted.has(digest)) continue;
      counted.add(digest);
      size += content.size(digest) ?? 0;
    }
    return {
      id: layer.id,
      type: 'regular',
      description: steps.get(layer.id) ?? (layer.origin ? `pulled layer ${layer.origin.digest}` : 'layer of a step'),
      size,
      createdAt: Number(layer.createdAt / 1_000_000n),
      lastUsedAt: lastUses.get(layer.id) ?? layer.lastUsedAt,
      mutable: false,
      shared: layer.diffID !== undefined && images.diffIds.has(layer.diffID),
      parents: layer.blobOf === undefined ? layer.parents : [...layer.parents, layer.blobOf],
    };
  });
}

/** When layers were last used, milliseconds since the epoch: what is used uses all that it stands on. */
function lastUsesOf(layers: readonly LayerRecord[], results: CollectedUsage['results']): Map<LayerID, number> {
  const uses = new Map(layers.map(({ id, lastUsedAt }) => [id, lastUsedAt]));
  const raise = (stack: readonly LayerID[]) => {
    let latest = 0;
    for (const id of stack.toReversed()) {
      latest = Math.max(latest, uses.get(id) ?? 0);
      if (uses.has(id)) uses.set(id, latest);
    }
  };
  for (const { layers: stack = [] } of results) raise(stack);
  for (const { id, parents } of layers) raise([...parents, id]);
  return uses;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
