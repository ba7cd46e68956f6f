/** Reads what a place holds: a cache of its own, or images with caches in them. */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type ReadManifest, readCacheManifest } from './cache-manifest.ts';
import { type ContentReader, checkDocumentSize } from './content-place.ts';
import { inlineCache, inlineCaches, type SourceCache } from './inline-image.ts';
import { parseCacheConfig } from './parse-config.ts';

/** What a tag named when it was read. A tag that moves meanwhile changes nothing: all is read by digest. */
export interface ReadSource {
  readonly root: Descriptor;
  readonly manifest: ReadManifest;
  readonly caches: readonly SourceCache[];
}

/**
 * @param onType - told what kind of manifest it is, before anything else is read
 * @throws RemoteCacheError, ManifestError, ImageConfigError, CacheConfigError, and what the reader throws
 */
export async function readSource(
  reader: ContentReader,
  root: Descriptor,
  onType: (mediaType: string) => Promise<void>,
  signal: AbortSignal,
): Promise<ReadSource> {
  checkDocumentSize(root);
  const manifest = readCacheManifest(await reader.manifest(root, signal), root.mediaType);
  await onType(manifest.mediaType);
  return { root, manifest, caches: await cachesOf(manifest, reader, signal) };
}

async function cachesOf(manifest: ReadManifest, reader: ContentReader, signal: AbortSignal): Promise<SourceCache[]> {
  if (manifest.kind === 'index') return inlineCaches(manifest.manifests, reader, signal);
  if (manifest.kind === 'image') {
    const cache = await inlineCache(manifest.manifest, reader, signal);
    return cache === undefined ? [] : [cache];
  }
  checkDocumentSize(manifest.config);
  const json = new TextDecoder().decode(await reader.document(manifest.config, signal));
  return [{ config: parseCacheConfig(json), layers: manifest.layers }];
}
