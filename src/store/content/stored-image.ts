import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { diffIdsOf, parseImageConfig } from '../../wire/oci/image-config.ts';
import { parseManifest } from '../../wire/oci/manifest.ts';
import { isConfigType, isIndexType, isManifestType } from '../../wire/oci/media-types.ts';
import type { ContentStore } from './content-store.ts';
import { BlobMissingError } from './store-error.ts';

/** What an image of the content store consists of. */
export interface StoredImage {
  /** What people call the image by: the digest of its config, or of its index when it has one. */
  readonly id: Digest;
  /** When it was made, RFC 3339 text; of several platforms the latest. */
  readonly created: string | undefined;
  /** Bytes of all its blobs, whether they are here or not. */
  readonly size: number;
  /** All its blobs, documents included, by digest. */
  readonly blobs: ReadonlyMap<Digest, Descriptor>;
  /** Digests of its uncompressed layers. */
  readonly diffIds: ReadonlySet<Digest>;
}

/**
 * Reads what an image consists of. Parts that are not here are counted, but what is below them is not known.
 * @throws ManifestError, ImageConfigError for documents that cannot be read, DigestMismatchError for damaged ones.
 */
export async function readStoredImage(
  content: ContentStore,
  target: Descriptor,
  signal?: AbortSignal,
): Promise<StoredImage> {
  const blobs = new Map<Digest, Descriptor>();
  const diffIds = new Set<Digest>();
  let created: string | undefined;
  let id: Digest | undefined;
  const pending = [target];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    if (blobs.has(next.digest)) continue;
    blobs.set(next.digest, next);
    const isManifest = isManifestType(next.mediaType) || isIndexType(next.mediaType);
    if (!isManifest && !isConfigType(next.mediaType)) continue;
    const bytes = await content.bytes(next.digest, signal).catch(ignoreMissing);
    if (bytes === undefined) continue;
    if (!isManifest) {
      const config = parseImageConfig(bytes);
      for (const diffId of diffIdsOf(config)) diffIds.add(diffId);
      created = later(created, config.created ?? undefined);
      continue;
    }
    const parsed = parseManifest(bytes, next.mediaType);
    if (parsed.kind === 'index') pending.push(...parsed.index.manifests);
    else {
      if (next === target) id = parsed.manifest.config.digest;
      pending.push(parsed.manifest.config, ...parsed.manifest.layers);
    }
  }
  let size = 0;
  for (const blob of blobs.values()) size += blob.size;
  return { id: id ?? target.digest, created, size, blobs, diffIds };
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Date.parse(b) > Date.parse(a) ? b : a;
}

function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof BlobMissingError)) throw error;
}
