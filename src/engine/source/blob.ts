import { hexOf } from '../../wire/oci/digest.ts';
import { formatReference } from '../../wire/oci/reference.ts';
import type { RegistryClient } from '../../wire/registry/client.ts';
import type { SourceRequest } from '../ops/op-context.ts';
import { type Ref, snapshotRef } from '../ops/ref.ts';
import type { Op } from '../solver/op.ts';
import { type BlobIdentifier, blobKey, parseBlobSource } from './blob-key.ts';
import { writeFileLayer } from './file-layer.ts';
import type { SourceLayers } from './layer-port.ts';
import type { OciLayouts } from './oci-layout.ts';
import { SourceError, sourceCacheMap } from './source-key.ts';
import type { SourceProgress } from './source-progress.ts';

/** Where blobs are found. */
export interface BlobPlaces {
  readonly registry: RegistryClient;
  readonly ociLayouts: OciLayouts;
}

/** What blob sources need. */
interface BlobSourceOptions extends BlobPlaces {
  readonly layers: SourceLayers;
}

/** The step that a `docker-image+blob://` or `oci-layout+blob://` source is: one blob as one file. */
export function blobOp(request: SourceRequest, options: BlobSourceOptions, progress: SourceProgress): Op<Ref> {
  const separator = request.identifier.indexOf('://');
  const scheme = request.identifier.slice(0, separator);
  const id = parseBlobSource(request.identifier.slice(separator + '://'.length), request.attrs);
  const store = scheme === 'oci-layout+blob' ? (request.attrs['oci.store'] ?? '') : undefined;
  if (store === '') throw new SourceError('oci-layout blob source requires store id');
  return {
    cacheMap: async () => ({ map: sourceCacheMap(blobKey(id)), done: true }),
    async exec(_, signal) {
      const { bytes, size } = await openBlob(options, store, id, signal);
      const file = { ...id, name: id.filename === '' ? hexOf(id.digest) : id.filename, modified: 0 };
      const { layer } = await writeFileLayer(
        options.layers,
        file,
        progress.transfer(id.digest, size, bytes),
        digest => {
          if (digest !== id.digest)
            throw new SourceError(`digest mismatch for ${formatReference(id.reference)}: ${digest}`);
        },
        signal,
      );
      return [snapshotRef([layer])];
    },
  };
}

/**
 * Opens a blob; its bytes are not verified.
 * @param store of the layout that it is in; undefined for a registry
 */
export async function openBlob(
  options: BlobPlaces,
  store: string | undefined,
  id: Pick<BlobIdentifier, 'reference' | 'digest'>,
  signal: AbortSignal,
): Promise<{ readonly bytes: AsyncIterable<Uint8Array>; readonly size: number }> {
  if (store !== undefined) return options.ociLayouts.openBlob(store, id.digest, signal);
  const size = await options.registry.blobSize(id.reference, id.digest, signal);
  const descriptor = { mediaType: 'application/octet-stream', digest: id.digest, size };
  return { bytes: options.registry.blob(id.reference, descriptor, { verify: false }, signal), size };
}
