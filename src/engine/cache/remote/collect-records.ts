/** From the keys of a build's results to records with layers as blobs (remote-cache facts, section 6). */
import { BlobMissingError } from '../../../store/content/store-error.ts';
import { LayerMissingError } from '../../../store/snapshot/unpack-layers.ts';
import type { CompressionOptions } from '../../exporter/attributes.ts';
import type { LayerBlob } from '../../exporter/result.ts';
import type { Ref, SnapshotRef } from '../../ops/ref.ts';
import { type ExportMode, walkForExport } from '../../solver/export-walk.ts';
import type { CacheKey, CacheRecord } from '../../solver/key.ts';
import type { CacheRecordNode } from '../../solver/record-graph.ts';
import { formatTimestamp } from '../../status/timestamp.ts';
import { importedCacheOf } from './import.ts';
import type { CacheExportDeps, CacheLayer } from './port.ts';

/**
 * The records that this build can use again. In mode `min` a record below a target has a result only if its layers are
 * layers of a target: what else was ever exported or imported on this machine makes no difference.
 *
 * @param keys - of the results that are exported, one list per platform
 */
export async function collectRecords(
  keys: readonly CacheKey<Ref>[],
  { mode, compression }: { readonly mode: ExportMode; readonly compression: CompressionOptions },
  deps: Pick<CacheExportDeps, 'layerBlobs' | 'content'>,
  signal: AbortSignal,
): Promise<readonly CacheRecordNode<CacheLayer>[]> {
  const refs = new Map<string, Promise<SnapshotRef | undefined>>();
  /** Layers of targets: digests of blobs, and ids of layers. */
  const targetLayers = new Set<string>();

  const refOf = ({ cache, resultId }: CacheRecord<Ref>) => {
    const ref = refs.get(resultId) ?? loadSnapshot(cache.results.load(resultId, signal), signal);
    refs.set(resultId, ref);
    return ref;
  };

  /** What a record's layers are called without making blobs of them. */
  async function namesOf(record: CacheRecord<Ref>): Promise<readonly string[] | undefined> {
    const imported = importedCacheOf(record.cache);
    if (imported !== undefined) return imported.layers(record.resultId)?.map(layer => layer.digest);
    return (await refOf(record))?.layers;
  }

  async function layersOf(record: CacheRecord<Ref>): Promise<readonly CacheLayer[] | undefined> {
    const imported = importedCacheOf(record.cache);
    if (imported !== undefined) return imported.layers(record.resultId);
    const ref = await refOf(record);
    if (ref === undefined) return undefined;
    const options = { compression, baseDiffIDs: [], preferNondistributable: false };
    try {
      const blobs = await deps.layerBlobs.blobs(ref, options, signal);
      return blobs.map(blob => cacheLayer(ref, blob, deps));
    } catch (error) {
      signal.throwIfAborted();
      // The layers were collected since.
      if (error instanceof LayerMissingError || error instanceof BlobMissingError) return undefined;
      throw error;
    }
  }

  if (mode === 'min') {
    for (const key of keys) {
      const record = recordOf(key);
      for (const name of (record === undefined ? undefined : await namesOf(record)) ?? []) targetLayers.add(name);
    }
  }
  return walkForExport(keys, {
    mode,
    ways: 'roots',
    async layers(record, make) {
      if (!make) {
        const names = await namesOf(record);
        if (names === undefined || !names.every(name => targetLayers.has(name))) return undefined;
      }
      const layers = await layersOf(record);
      if (make) for (const { digest } of layers ?? []) targetLayers.add(digest);
      return layers;
    },
  });
}

/** The record whose result is exported for a key, as `walkForExport` takes it. */
function recordOf<R>(key: CacheKey<R>): CacheRecord<R> | undefined {
  const records = key.record === undefined ? key.records : [key.record, ...key.records];
  return records.find(({ cache, resultId }) => cache.results.exists(resultId));
}

async function loadSnapshot(loading: Promise<Ref>, signal: AbortSignal): Promise<SnapshotRef | undefined> {
  try {
    const ref = await loading;
    return ref.kind === 'snapshot' ? ref : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function cacheLayer(
  ref: SnapshotRef,
  { descriptor, diffID, createdAt }: LayerBlob,
  { layerBlobs, content }: Pick<CacheExportDeps, 'layerBlobs' | 'content'>,
): CacheLayer {
  const { annotations = {}, mediaType, digest, size } = descriptor;
  const known = annotations['buildkit/createdat'];
  return {
    digest,
    diffId: diffID,
    descriptor: {
      mediaType,
      digest,
      size,
      annotations: {
        ...annotations,
        'buildkit/createdat': known ?? formatTimestamp(createdAt),
        'containerd.io/uncompressed': diffID,
      },
    },
    async *open(offset, signal) {
      await layerBlobs.fetch(ref, digest, signal);
      yield* content.read(digest, { start: offset });
    },
  };
}
