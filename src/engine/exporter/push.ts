import type { ContentStore } from '../../store/content/content-store.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { isForeignLayerType, isIndexType, isManifestType } from '../../wire/oci/media-types.ts';
import {
  formatReference,
  type Reference,
  repositoryName,
  withDefaultTag,
  withDigest,
} from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { ExporterAttributeError } from './attributes.ts';
import type { ExportProgress } from './export-progress.ts';
import type { WrittenImage } from './image-writer.ts';

/** A failed push, with the name that could not be pushed. */
class PushError extends Error {
  override readonly name = 'PushError';
}

export interface PushOptions {
  readonly byDigest: boolean;
  /** The repository that a blob is known to be in, as `repositoryName` gives it; undefined when none is known. */
  readonly mountFrom: (digest: string) => string | undefined;
}

/**
 * Pushes an image under a name: blobs in parallel, then manifests children first, the named one last.
 * @throws PushError with the registry's answer; nothing is tagged then.
 */
export async function pushImage(
  client: RegistryClient,
  content: ContentStore,
  image: WrittenImage,
  name: Reference,
  { byDigest, mountFrom }: PushOptions,
  progress: ExportProgress,
  signal: AbortSignal,
): Promise<void> {
  if (byDigest && name.tag !== undefined) {
    throw new ExporterAttributeError(`can't push tagged ref ${formatReference(name)} by digest`);
  }
  const target = byDigest ? withDigest(name, image.descriptor.digest) : withDefaultTag(name);
  const isDocument = ({ mediaType }: Descriptor) => isManifestType(mediaType) || isIndexType(mediaType);
  const blobs = image.blobs.filter(blob => !isDocument(blob) && !isForeignLayerType(blob.mediaType));
  try {
    await progress.step('pushing layers', () =>
      Promise.all(blobs.map(blob => pushBlob(client, content, image, target, blob, mountFrom, signal))),
    );
    const shown = formatReference(withDigest(target, image.descriptor.digest));
    await progress.step(`pushing manifest for ${shown}`, async () => {
      for (const document of image.blobs.filter(isDocument)) {
        const isTop = document.digest === image.descriptor.digest;
        const reference = isTop ? target : withDigest({ domain: name.domain, path: name.path }, document.digest);
        const bytes = await content.bytes(document.digest, signal);
        await client.pushManifest(reference, bytes, document.mediaType, signal);
      }
    });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new PushError(
      `failed to push ${formatReference(target)}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

async function pushBlob(
  client: RegistryClient,
  content: ContentStore,
  image: WrittenImage,
  target: Reference,
  descriptor: Descriptor,
  mountFrom: PushOptions['mountFrom'],
  signal: AbortSignal,
): Promise<void> {
  const from = mountFrom(descriptor.digest);
  const source = {
    descriptor,
    async *open(offset: number, inner: AbortSignal) {
      await image.fetch(descriptor.digest, inner);
      yield* content.read(descriptor.digest, { start: offset });
    },
  };
  const mount = from !== undefined && from !== repositoryName(target) ? { mountFrom: from } : {};
  await client.pushBlob(target, source, mount, signal);
}
