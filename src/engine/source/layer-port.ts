import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { SnapshotStore } from '../ops/op-context.ts';
import type { LayerID } from '../ops/ref.ts';

/**
 * Opens a blob that is not here yet. The bytes are not verified: whoever takes them checks them against the descriptor.
 * Fetching is shown under the step that the blob came with.
 */
export type BlobFetch = (signal: AbortSignal) => AsyncIterable<Uint8Array>;

/** A layer that exists as a blob somewhere, and here perhaps not at all. */
export interface LazyLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly fetch: BlobFetch;
}

/** The part of the layer store that sources use. */
export interface SourceLayers extends Pick<SnapshotStore, 'prepare'> {
  /** Whether a layer is still there. */
  has(layer: LayerID): boolean;
  /**
   * Says where a blob can be fetched from, for as long as this process runs. A cached result may stand on a lazy layer of
   * an earlier process; this is what makes it readable.
   */
  offer(layer: LazyLayer): void;
  /**
   * Adds a layer without fetching it, or finds the one that is there; returns its id.
   * @param parents the layers below, bottom first
   */
  addLazy(layer: LazyLayer, parents: readonly LayerID[]): LayerID;
}
