/** The manifest of a cache, in both its forms (remote-cache facts, section 3). */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { digestOf } from '../../../wire/oci/digest.ts';
import { goJson } from '../../../wire/oci/go-json.ts';
import { type Manifest, parseManifest } from '../../../wire/oci/manifest.ts';
import { convertLayerType, DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST } from '../../../wire/oci/media-types.ts';
import { orderedDescriptor } from '../../exporter/manifest.ts';
import { cacheConfigMediaType } from '../cache-config.ts';
import { type CacheAbout, readAbout } from './cache-about.ts';
import { isMountLayer, type MountLayer, mountLayerOf } from './mount-layers.ts';
import type { ContentForm } from './options.ts';

/** A manifest of a cache, or an image or index that may hold inline caches. */
export type ReadManifest =
  | {
      readonly kind: 'cache';
      /** As BuildKit names it in its progress. */
      readonly mediaType: string;
      readonly config: Descriptor;
      /** One per layer of the config, in its order. */
      readonly layers: readonly Descriptor[];
      readonly mounts: readonly MountLayer[];
      /** What it says of itself. */
      readonly about?: CacheAbout;
    }
  | { readonly kind: 'image'; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly mediaType: string; readonly manifests: readonly Descriptor[] };

/** A document with its descriptor. */
export interface WrittenDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** The config blob of a cache. */
export function configDocument(json: string): WrittenDocument {
  return documentOf(json, cacheConfigMediaType);
}

/**
 * The manifest of a cache.
 *
 * @param layers - one per layer of the config, in its order, then the cache mounts.
 * @param annotations - none is BuildKit's own form
 */
export function cacheManifest(
  config: Descriptor,
  layers: readonly Descriptor[],
  { ociMediaTypes, imageManifest }: Pick<ContentForm, 'ociMediaTypes' | 'imageManifest'>,
  annotations: Readonly<Record<string, string>> = {},
): WrittenDocument {
  const more = Object.keys(annotations).length === 0 ? {} : { annotations };
  const family = ociMediaTypes ? 'oci' : 'docker';
  const entries = layers.map(layer =>
    orderedDescriptor({ ...layer, mediaType: convertLayerType(layer.mediaType, family) }),
  );
  if (imageManifest) {
    const mediaType = OCI_MANIFEST;
    return documentOf(
      goJson({ schemaVersion: 2, mediaType, config: orderedDescriptor(config), layers: entries, ...more }),
      mediaType,
    );
  }
  const mediaType = ociMediaTypes ? OCI_INDEX : DOCKER_INDEX;
  return documentOf(
    goJson({ schemaVersion: 2, mediaType, manifests: [...entries, orderedDescriptor(config)], ...more }),
    mediaType,
  );
}

function documentOf(json: string, mediaType: string): WrittenDocument {
  const bytes = Buffer.from(json);
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

/**
 * Reads the manifest that a cache's name leads to.
 *
 * @throws ManifestError
 */
export function readCacheManifest(bytes: Uint8Array, said: string): ReadManifest {
  const parsed = parseManifest(bytes, said === '' ? undefined : said);
  const { mediaType } = parsed;
  if (parsed.kind === 'manifest') {
    const { config, layers, annotations } = parsed.manifest;
    if (config.mediaType !== cacheConfigMediaType) return { kind: 'image', mediaType, manifest: parsed.manifest };
    return { kind: 'cache', mediaType, config, ...entriesOf(layers, annotations) };
  }
  const { manifests, annotations } = parsed.index;
  const config = manifests.findLast(entry => entry.mediaType === cacheConfigMediaType);
  if (config === undefined) return { kind: 'index', mediaType, manifests };
  const layers = manifests.filter(entry => entry !== config);
  return { kind: 'cache', mediaType, config, ...entriesOf(layers, annotations) };
}

/** What we add to BuildKit's form, told apart from it. */
function entriesOf(entries: readonly Descriptor[], annotations: Readonly<Record<string, string>> | undefined) {
  const about = readAbout(annotations);
  return {
    layers: entries.filter(entry => !isMountLayer(entry)),
    mounts: entries.flatMap(entry => mountLayerOf(entry) ?? []),
    ...(about === undefined ? {} : { about }),
  };
}
