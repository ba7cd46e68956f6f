import { posix } from 'node:path';
import { statFile } from '../../host/system/stat.ts';
import type { LayerRecord } from '../../store/snapshot/layer-records.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import { isDirectory, isWhiteout } from '../../store/snapshot/overlay-stack.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { timestampOf } from '../cache/timestamp.ts';
import type { SnapshotRef } from '../ops/ref.ts';
import type { Timestamp } from '../status/event.ts';
import type { ImageLayers, LayerBlobOptions } from './image-writer.ts';
import type { LayerBlob } from './result.ts';

/** The layers of the layer store as blobs. */
export function layerBlobSource(layers: LayerStore): ImageLayers {
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
    async finder(ref, signal) {
      await layers.unlazy(ref.layers, signal);
      const directories = ref.layers.map(id => toBytePath(layers.path(id)));
      return path => {
        const index = directories.findLastIndex(directory => hasFile(directory, path));
        return index < 0 ? undefined : index;
      };
    },
  };
}

/** Whether a layer's directory has something at a path that it does not hide; no link leads out of it. */
function hasFile(directory: BytePath, path: string): boolean {
  const names = toBytePath(posix.join('/', path)).split('/').slice(1);
  let place = directory;
  for (const [index, name] of names.entries()) {
    place = `${place}/${name}`;
    const status = statFile(systemPath(place));
    if (status === undefined || isWhiteout(status)) return false;
    if (index < names.length - 1 && !isDirectory(status)) return false;
  }
  return true;
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
  return { descriptor, diffID, createdAt: createdAt(layers.get(id)) };
}

/** When a layer was made, which for one of an imported cache is not when it came here. */
function createdAt(layer: LayerRecord | undefined): Timestamp {
  const said = layer?.origin?.annotations?.['buildkit/createdat'];
  return timestampOf(said) ?? layer?.createdAt ?? 0n;
}
