import { OCI_CONFIG } from '../../wire/oci/media-types.ts';
import {
  familiarReference,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../../wire/oci/reference.ts';
import { imageManifest } from '../exporter/manifest.ts';
import type { LayerBlob } from '../exporter/result.ts';
import { layerBlob } from './commit.ts';
import { LegacyBuildError, messageOf } from './error.ts';
import { type LegacyImage, readContent } from './image.ts';
import type { LegacyEngine } from './request.ts';

/** The names of a build, checked before it begins. @throws LegacyBuildError, a refusal */
export function parseTags(tags: readonly string[]): Reference[] {
  return tags.map(tag => {
    try {
      return withDefaultTag(parseReference(tag));
    } catch (cause) {
      const message = `invalid argument ${JSON.stringify(tag)} for "-t, --tag" flag: ${messageOf(cause)}`;
      throw new LegacyBuildError(message, { isRefusal: true, cause });
    }
  });
}

/** Gives an image names in the image store. Returns them as people write them. */
export async function tagImage(
  image: LegacyImage,
  tags: readonly Reference[],
  engine: LegacyEngine,
  signal: AbortSignal,
): Promise<string[]> {
  if (tags.length === 0) return [];
  const { content, images } = engine;
  const { platform } = readContent(image);
  const layers: LayerBlob[] = [];
  for (const id of image.layers) {
    const { descriptor, diffID } = await layerBlob(id, engine.layers, signal);
    // The layers of a base were pulled, but may have been pruned since.
    await engine.layers.fetch(id, signal);
    layers.push({ descriptor, diffID, createdAt: 0n });
  }
  const config = await content.write(Buffer.from(image.text), { digest: image.id }, signal);
  const document = imageManifest({ mediaType: OCI_CONFIG, ...config }, layers, true, {});
  const manifest = await content.write(Buffer.from(document.text), {}, signal);
  for (const tag of tags) {
    images.put(formatReference(tag), { mediaType: document.mediaType, ...manifest, platform });
  }
  return tags.map(familiarReference);
}
