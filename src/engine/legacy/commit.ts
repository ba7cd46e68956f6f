import type { LayerBlob } from '../../store/snapshot/layer-blobs.ts';
import type { ActiveLayer } from '../../store/snapshot/layer-mounts.ts';
import type { LayerStore } from '../../store/snapshot/layer-store.ts';
import type { LayerID } from '../ops/ref.ts';
import type { ContainerConfig } from './container-config.ts';
import { childImage, type LegacyImage } from './image.ts';
import type { ImageTable } from './image-table.ts';
import { configDigest } from './key.ts';
import type { StageState } from './plan-step.ts';
import type { LegacyEngine } from './request.ts';

/** What is made into an image. */
export interface CommitRequest {
  readonly parent: LegacyImage | undefined;
  /** The config of the container, which is the key. */
  readonly wanted: ContainerConfig;
  readonly state: StageState;
  /** Empty for steps that need no container. */
  readonly container: string;
  /** Undefined when the step changed no files. */
  readonly layer: ActiveLayer | undefined;
}

/** Makes the image of a step and keeps it. */
export async function commitStep(
  { parent, wanted, state, container, layer: active }: CommitRequest,
  engine: LegacyEngine,
  table: ImageTable,
  signal: AbortSignal,
): Promise<LegacyImage> {
  const id = await active?.commit(signal);
  const layer = id === undefined ? undefined : { id, diffID: (await layerBlob(id, engine.layers, signal)).diffID };
  const image = childImage(parent, {
    config: state.config,
    containerConfig: wanted,
    author: state.maintainer,
    container,
    layer,
    created: engine.now(),
    platform: engine.platform,
  });
  table.put(image, { parent: parent?.id, key: configDigest(wanted) });
  return image;
}

/** The blob of a layer, as it would be pushed. */
export function layerBlob(id: LayerID, layers: LayerStore, signal: AbortSignal): Promise<LayerBlob> {
  return layers.toBlob(id, { compression: { type: 'gzip', force: false }, family: 'oci' }, signal);
}
