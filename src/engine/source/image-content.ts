import type { ContentStore } from '../../store/content/content-store.ts';
import type { ImageStore } from '../../store/content/images.ts';
import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { diffIdsOf, parseImageConfig } from '../../wire/oci/image-config.ts';
import { type Manifest, parseManifest } from '../../wire/oci/manifest.ts';
import { isConfigType, isIndexType, isManifestType } from '../../wire/oci/media-types.ts';
import { formatPlatformAll, matchesPlatform, matchingManifests } from '../../wire/oci/platform.ts';
import { formatReference, type Reference } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import { SourceError } from './source-key.ts';

/** Where the parts of an image are read from. */
export interface ImageContent {
  /** A manifest, index or config, verified. */
  document(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  /** A layer's bytes, not verified. */
  stream(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** An image of one platform. */
export interface ResolvedImage {
  /** What the reference names: an index or a manifest. */
  readonly root: Descriptor;
  readonly manifest: Manifest;
  readonly config: Uint8Array;
  /** Bottom first. */
  readonly layers: readonly { readonly descriptor: Descriptor; readonly diffId: Digest }[];
  readonly content: ImageContent;
}

/**
 * Finds the image for a platform behind a descriptor: of an index the entry that fits best, of a single manifest itself.
 * @throws SourceError when there is none for the platform, or its manifest and config disagree
 */
export async function resolveImage(
  content: ImageContent,
  root: Descriptor,
  platform: Platform,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const parsed = parseManifest(await content.document(root, signal), root.mediaType);
  if (parsed.kind === 'manifest') return readImage(content, root, parsed.manifest, signal);
  for (const entry of matchingManifests(parsed.index.manifests, platform)) {
    const inner = parseManifest(await content.document(entry, signal), entry.mediaType);
    if (inner.kind === 'index') continue;
    const image = await readImage(content, root, inner.manifest, signal);
    // An entry without a platform has it in its config.
    if (entry.platform !== undefined || configMatches(image.config, platform)) return image;
  }
  throw new SourceError(`no match for platform ${formatPlatformAll(platform)} in manifest ${root.digest}: not found`);
}

async function readImage(
  content: ImageContent,
  root: Descriptor,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const config = await content.document(manifest.config, signal);
  return { root, manifest, config, layers: pairLayers(manifest, config), content };
}

function pairLayers(manifest: Manifest, config: Uint8Array): ResolvedImage['layers'] {
  if (!isConfigType(manifest.config.mediaType)) {
    throw new SourceError(`${manifest.config.mediaType} is not an image: it cannot be built on`);
  }
  const diffIds = diffIdsOf(parseImageConfig(config));
  if (diffIds.length !== manifest.layers.length) {
    throw new SourceError(
      `mismatched image rootfs and manifest layers: ${diffIds.length} diff ids, ${manifest.layers.length} layers`,
    );
  }
  return manifest.layers.flatMap((descriptor, i) => {
    const diffId = diffIds[i];
    return diffId === undefined ? [] : [{ descriptor, diffId }];
  });
}

function configMatches(config: Uint8Array, platform: Platform): boolean {
  const parsed = parseImageConfig(config);
  return matchesPlatform(platform, parsed);
}

/** The parts of an image of a registry, through the content store: what is there is not fetched again. */
export function registryContent(
  store: ContentStore,
  images: ImageStore,
  registry: RegistryClient,
  reference: Reference,
): ImageContent {
  return {
    async document(descriptor, signal) {
      if (store.has(descriptor.digest, descriptor.size)) return store.bytes(descriptor.digest, signal);
      const { mediaType } = descriptor;
      const isManifest = isManifestType(mediaType) || isIndexType(mediaType);
      const bytes = await (isManifest
        ? registry.manifest(reference, descriptor, signal)
        : registry.blobBytes(reference, descriptor, signal));
      await store.write(bytes, { digest: descriptor.digest }, signal);
      if (isManifest) images.noteIn(repositoryOf(reference), descriptor.digest);
      return bytes;
    },
    stream(descriptor, signal) {
      if (store.has(descriptor.digest, descriptor.size)) return store.read(descriptor.digest);
      return registry.blob(reference, descriptor, { verify: false }, signal);
    },
  };
}

/** The name that the image store knows a repository by: `docker.io/library/alpine`. */
export function repositoryOf({ domain, path }: Reference): string {
  return formatReference({ domain, path });
}
