/** A place that keeps caches as one JSON document with blobs: a bucket, or GitHub's cache service. */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { isDigest } from '../../../wire/oci/digest.ts';
import { OCI_LAYER_GZIP } from '../../../wire/oci/media-types.ts';
import { formatTimestamp } from '../../status/timestamp.ts';
import type { CacheConfig, LayerAnnotations } from '../cache-config.ts';
import { timestampOf } from '../timestamp.ts';
import type { ContentReader } from './content-place.ts';
import type { SourceCache } from './inline-image.ts';
import { parseCacheConfig } from './parse-config.ts';
import type { CacheLayer } from './port.ts';

interface ObjectReader extends Pick<ContentReader, 'open' | 'mayHave' | 'has'> {
  /** The documents that the place has; none when nothing was ever written. */
  documents(signal: AbortSignal): Promise<readonly Uint8Array[]>;
}

export interface ObjectWriter extends ObjectReader {
  /** How many layers may be written at once. */
  readonly parallelism: number;
  /**
   * Brings a layer's blob there unless it is there.
   *
   * @param show - shows the writing, if there is any
   */
  putLayer(layer: CacheLayer, show: (work: () => Promise<void>) => Promise<void>, signal: AbortSignal): Promise<void>;
  putDocument(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** What a document says of a layer. */
export function layerAnnotations({ descriptor, diffId }: CacheLayer): LayerAnnotations {
  const { mediaType, size, annotations } = descriptor;
  const createdAt = formatTimestamp(timestampOf(annotations?.['buildkit/createdat']) ?? 0n);
  return { mediaType, diffID: diffId, size, createdAt };
}

/**
 * The caches in documents. A layer of which a document says too little cannot be used.
 *
 * @throws CacheConfigError
 */
export function documentCaches(documents: readonly Uint8Array[]): SourceCache[] {
  return documents.map(bytes => {
    const config = parseCacheConfig(new TextDecoder().decode(bytes));
    return { config, layers: layersOf(config) };
  });
}

function layersOf({ layers = [] }: CacheConfig): Descriptor[] {
  return layers.flatMap(({ blob, annotations }) => {
    const { mediaType, diffID = '', size, createdAt } = annotations ?? {};
    if (!isDigest(blob) || size === undefined) return [];
    return [
      {
        mediaType: mediaType || OCI_LAYER_GZIP,
        digest: blob,
        size,
        annotations: {
          ...(createdAt === undefined ? {} : { 'buildkit/createdat': createdAt }),
          'containerd.io/uncompressed': diffID,
        },
      },
    ];
  });
}
