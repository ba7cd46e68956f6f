/**
 * The results that flow between steps. A result is a value: it says which files there are and owns no mount, so that it
 * can be kept, compared and stored freely.
 */
import type { ContentChecksums } from '../../store/snapshot/checksum.ts';

/** The id of a layer in the layer store. */
export type LayerID = string;

/** Files in the layer store: layers, bottom first. No layers is `scratch`, the empty tree. */
export interface SnapshotRef {
  readonly kind: 'snapshot';
  readonly layers: readonly LayerID[];
}

/**
 * A directory of the client that is read where it lies: a build context. It is no layer; steps copy from it. Where a
 * layer is needed (an exec step that mounts it, an export) one is made of it: see `materialize`.
 */
export interface LocalRef {
  readonly kind: 'local';
  /** The name in the source's identifier: `context` in `local://context`. */
  readonly name: string;
  /** The files as they are filtered and shown, with their checksums, which what is copied is compared with. */
  readonly contents: ContentChecksums;
}

export type Ref = SnapshotRef | LocalRef;

/** The empty tree. */
export const scratch: SnapshotRef = { kind: 'snapshot', layers: [] };

/** A result made of these layers, bottom first. */
export function snapshotRef(layers: readonly LayerID[]): SnapshotRef {
  return layers.length === 0 ? scratch : { kind: 'snapshot', layers };
}
