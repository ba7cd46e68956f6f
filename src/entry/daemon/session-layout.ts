import type { WrittenImage } from '../../engine/exporter/image-writer.ts';
import type { ContentStore } from '../../store/content/content-store.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { isConfigType, isIndexType, isManifestType } from '../../wire/oci/media-types.ts';
import { remoteContent } from '../../wire/session/content/content-client.ts';
import type { Session } from '../../wire/session/session.ts';

/** The store that clients take whole images into; they write its index themselves. */
const STORE = 'export';

/** Writes the blobs of an image into the layout of a client. */
export async function writeSessionLayout(
  session: Session,
  image: WrittenImage,
  content: ContentStore,
  signal: AbortSignal,
): Promise<void> {
  const store = remoteContent(session.channel, STORE);
  for (const blob of image.blobs) {
    await image.fetch(blob.digest, signal);
    const { digest, size } = blob;
    await store.write({ digest, size, ref: `${kindOf(blob)}-${digest}` }, () => content.read(digest), signal);
  }
}

function kindOf({ mediaType }: Descriptor): string {
  if (isIndexType(mediaType)) return 'index';
  if (isManifestType(mediaType)) return 'manifest';
  return isConfigType(mediaType) ? 'config' : 'layer';
}
