import type { WrittenImage } from '../../../engine/exporter/image-writer.ts';
import { readStoredImage } from '../../../store/content/stored-image.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { parseManifest } from '../../../wire/oci/manifest.ts';
import { isConfigType, isIndexType, isManifestType } from '../../../wire/oci/media-types.ts';
import type { Engine } from '../../builder/engine.ts';
import { ApiError } from './api-call.ts';

/**
 * An image of the store, to be sent somewhere. Platforms of an index that never came here are left out. Throws ApiError,
 * and what reading the image throws.
 */
export async function writtenImage(engine: Engine, target: Descriptor, signal: AbortSignal): Promise<WrittenImage> {
  const { content, layers } = engine;
  const { blobs } = await readStoredImage(content, target, signal);
  const isDocument = ({ mediaType }: Descriptor) =>
    isManifestType(mediaType) || isIndexType(mediaType) || isConfigType(mediaType);
  const here = [...blobs.values()].filter(blob => !isDocument(blob) || content.has(blob.digest));
  const isIndex = isIndexType(target.mediaType);
  const parsed = isIndex ? undefined : parseManifest(await content.bytes(target.digest, signal), target.mediaType);
  const manifest = parsed?.kind === 'manifest' ? parsed.manifest : undefined;
  return {
    descriptor: target,
    isIndex,
    // What is found later lies below what was found first.
    blobs: here.reverse(),
    layers: manifest?.layers ?? [],
    ...(manifest === undefined ? {} : { config: manifest.config }),
    async fetch(blob, inner) {
      if (content.has(blob)) return;
      const layer = layers.list().find(({ origin }) => origin?.digest === blob);
      if (layer === undefined) throw new ApiError(404, `content digest ${blob}: not found`);
      await layers.fetch(layer.id, inner);
    },
  };
}
