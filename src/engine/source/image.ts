import { formatReference, parseReference, type Reference } from '../../wire/oci/reference.ts';
import type { SourceRequest } from '../ops/op-context.ts';
import { type LayerID, type Ref, snapshotRef } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import { type ResolvedImage, resolveImage } from './image-content.ts';
import { imageKeys } from './image-key.ts';
import type { LazyLayer, SourceLayers } from './layer-port.ts';
import type { OciLayouts } from './oci-layout.ts';
import { type ImageRoot, parseResolveMode, type RegistryImages } from './registry-images.ts';
import { SourceError, type SourceKey, sourceCacheMap } from './source-key.ts';
import type { SourceProgress } from './source-progress.ts';

/** What image sources need. */
export interface ImageSourceOptions {
  readonly images: RegistryImages;
  /** By the id that `oci.store` names them with. */
  readonly ociLayouts: OciLayouts;
  readonly layers: SourceLayers;
}

/** The step that a `docker-image://` source is. */
export function imageOp(request: SourceRequest, options: ImageSourceOptions, progress: SourceProgress): Op<Ref> {
  const { attrs } = request;
  const reference = parseReference(request.identifier.replace(/^docker-image:\/\//, ''));
  const mode = parseResolveMode(attrs['image.resolvemode']);
  const checksum = attrs['image.checksum'];
  const limit = parseLayerLimit(attrs['image.layerlimit']);
  return lazyImageOp(request, options, progress, reference, limit, async signal => {
    const found = await options.images.resolve(reference, mode, signal);
    if (checksum !== undefined && found.root.digest !== checksum) {
      const name = formatReference(reference);
      throw new SourceError(
        `image digest ${found.root.digest} for ${name} does not match expected checksum ${checksum}`,
      );
    }
    return found;
  });
}

/** The step that an `oci-layout://` source is. */
export function ociLayoutOp(request: SourceRequest, options: ImageSourceOptions, progress: SourceProgress): Op<Ref> {
  const { attrs } = request;
  const reference = parseReference(request.identifier.replace(/^oci-layout:\/\//, ''));
  const limit = parseLayerLimit(attrs['oci.layerlimit']);
  return lazyImageOp(request, options, progress, reference, limit, signal =>
    openStore(options.ociLayouts, attrs['oci.store'], reference, signal),
  );
}

/**
 * Opens the image of a layout that a reference names by digest.
 * @param store the id of the layout; without one, the repository's path stands for it, as in BuildKit
 */
export async function openStore(
  layouts: OciLayouts,
  store: string | undefined,
  reference: Reference,
  signal: AbortSignal,
): Promise<ImageRoot> {
  if (reference.digest === undefined)
    throw new SourceError(`${formatReference(reference)}: an OCI layout needs a digest`);
  return layouts.open(store || reference.path, reference.digest, signal);
}

function parseLayerLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit <= 0) throw new SourceError(`invalid layer limit ${text}`);
  return limit;
}

function lazyImageOp(
  request: SourceRequest,
  options: ImageSourceOptions,
  progress: SourceProgress,
  reference: Reference,
  limit: number | undefined,
  find: (signal: AbortSignal) => Promise<ImageRoot>,
): Op<Ref> {
  const name = formatReference(reference);
  let resolved:
    | Promise<{ readonly keys: readonly [SourceKey, SourceKey]; readonly layers: readonly LazyLayer[] }>
    | undefined;

  const resolve = (signal: AbortSignal) =>
    progress.step(`resolve ${name}`, async () => {
      const { root, content } = await find(signal);
      const image = await resolveImage(content, root, request.platform, signal);
      const count = image.layers.length;
      if (limit !== undefined && limit > count) {
        throw new SourceError(`layer limit ${limit} is greater than the number of layers in the image ${count}`);
      }
      const { platform } = request;
      const keys = imageKeys({ name, root: root.digest, platform, config: image.config, layerLimit: limit });
      const layers = lazyLayers(image, limit, progress);
      for (const layer of layers) options.layers.offer(layer);
      return { keys, layers };
    });
  const once = (signal: AbortSignal) => {
    resolved ??= resolve(signal).catch(error => {
      // Stopping one solve must not fail the next one that shares this step.
      if (signal.aborted) resolved = undefined;
      throw error;
    });
    return resolved;
  };

  return {
    async cacheMap(index, signal) {
      const { keys } = await once(signal);
      return { map: sourceCacheMap(index === 0 ? keys[0] : keys[1]), done: index > 0 };
    },
    async exec(_, signal) {
      const { layers } = await once(signal);
      const ids: LayerID[] = [];
      for (const layer of layers) ids.push(options.layers.addLazy(layer, ids));
      return [snapshotRef(ids)];
    },
  };
}

function lazyLayers(image: ResolvedImage, limit: number | undefined, progress: SourceProgress): LazyLayer[] {
  return image.layers.slice(0, limit).map(({ descriptor, diffId }) => ({
    descriptor,
    diffId,
    fetch: signal => progress.transfer(descriptor.digest, descriptor.size, image.content.stream(descriptor, signal)),
  }));
}
