import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import type { SnapshotRef } from '../ops/ref.ts';
import type { LayerBlobOptions, LayerBlobSource } from './image-writer.ts';
import type { LayerBlob } from './result.ts';

/** The layers of the layer store as blobs. */
export function layerBlobSource(layers: LayerStore): LayerBlobSource {
  /** How many layers from the bottom up are the base image's. */
  const baseLength = (ref: SnapshotRef, baseDiffIDs: readonly string[]): number => {
    const differs = ref.layers.findIndex(
      (id, index) => baseDiffIDs[index] === undefined || layers.get(id)?.diffID !== baseDiffIDs[index],
    );
    return differs < 0 ? ref.layers.length : differs;
  };
  return {
    async blobs(ref, options, signal) {
      const base = baseLength(ref, options.baseDiffIDs);
      return Promise.all(ref.layers.map((id, index) => blobOf(layers, id, options, index < base, signal)));
    },
    async fetch(ref, blob, signal) {
      const layer = ref.layers.find(id => layers.get(id)?.origin?.digest === blob);
      if (layer !== undefined) await layers.fetch(layer, signal);
    },
  };
}

async function blobOf(
  layers: LayerStore,
  id: string,
  options: LayerBlobOptions,
  isBase: boolean,
  signal: AbortSignal,
): Promise<LayerBlob> {
  const { compression, rewriteEpoch } = options;
  const { descriptor, diffID } = await layers.toBlob(
    id,
    { compression, family: 'oci', ...(isBase || rewriteEpoch === undefined ? {} : { epoch: rewriteEpoch }) },
    signal,
  );
  return { descriptor, diffID, createdAt: layers.get(id)?.createdAt ?? 0n };
}
