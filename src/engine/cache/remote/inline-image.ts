/** Caches inside image configs (remote-cache facts, section 9). */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { diffIdsOf, type History, parseImageConfig } from '../../../wire/oci/image-config.ts';
import { type Manifest, parseManifest } from '../../../wire/oci/manifest.ts';
import { isConfigType, isIndexType, isManifestType } from '../../../wire/oci/media-types.ts';
import type { CacheConfig } from '../cache-config.ts';
import type { ContentReader } from './content-place.ts';
import { parseInlineRecords } from './parse-config.ts';

/** The member of an image config that holds the records. */
const cacheMember = 'moby.buildkit.cache.v0';

/** One cache of a source, with the layers that it names. */
export interface SourceCache {
  readonly config: CacheConfig;
  readonly layers: readonly Descriptor[];
}

/**
 * The caches in all the images of an index; attestations and images without a cache have none.
 *
 * @throws ManifestError, ImageConfigError, CacheConfigError, and what the reader throws
 */
export async function inlineCaches(
  manifests: readonly Descriptor[],
  reader: ContentReader,
  signal: AbortSignal,
): Promise<SourceCache[]> {
  const seen = new Set<string>();
  const read = async (entries: readonly Descriptor[]): Promise<SourceCache[]> => {
    const fresh = entries.filter(({ digest }) => !seen.has(digest) && seen.add(digest));
    const caches = await Promise.all(
      fresh.map(async entry => {
        if (!isManifestType(entry.mediaType) && !isIndexType(entry.mediaType)) return [];
        const parsed = parseManifest(await reader.manifest(entry, signal), entry.mediaType);
        if (parsed.kind === 'index') return read(parsed.index.manifests);
        const cache = await inlineCache(parsed.manifest, reader, signal);
        return cache === undefined ? [] : [cache];
      }),
    );
    return caches.flat();
  };
  return read(manifests);
}

/** The cache in an image; undefined when it has none. */
export async function inlineCache(
  { config, layers }: Manifest,
  reader: ContentReader,
  signal: AbortSignal,
): Promise<SourceCache | undefined> {
  if (layers.length === 0 || !isConfigType(config.mediaType)) return undefined;
  const bytes = await reader.document(config, signal);
  const image = parseImageConfig(bytes);
  const diffIds = diffIdsOf(image);
  const member = cacheMember in image ? image[cacheMember] : undefined;
  if (diffIds.length !== layers.length || typeof member !== 'string') return undefined;
  const steps = (image.history ?? []).filter(entry => entry.empty_layer !== true);
  return {
    config: {
      layers: layers.map(({ digest }, index) => ({ blob: digest, parent: index - 1 })),
      records: parseInlineRecords(Buffer.from(member, 'base64').toString()),
    },
    layers: layers.map((layer, index) => annotated(layer, diffIds[index] ?? '', steps[index])),
  };
}

function annotated(layer: Descriptor, diffId: string, step: History | undefined): Descriptor {
  const annotations = {
    ...layer.annotations,
    ...(step?.created === undefined ? {} : { 'buildkit/createdat': step.created }),
    ...(step?.created_by === undefined ? {} : { 'buildkit/description': step.created_by }),
    'containerd.io/uncompressed': diffId,
  };
  return { ...layer, annotations };
}
