/**
 * The results that flow between steps. A result is a value: it says which files there are and owns no mount, so that it
 * can be kept, compared and stored freely.
 */

/** The id of a layer in the layer store. */
export type LayerID = string;

/** Files in the layer store: layers, bottom first. No layers is `scratch`, the empty tree. */
export interface SnapshotRef {
  readonly kind: 'snapshot';
  readonly layers: readonly LayerID[];
}

/**
 * A directory of the client that is read where it lies: a build context. It is never a layer; steps copy from it, and
 * an exec step that mounts it sees the directory itself through a read-only bind or a layer made of it.
 */
export interface LocalRef {
  readonly kind: 'local';
  /** The name in the source's identifier: `context` in `local://context`. */
  readonly name: string;
  /** Absolute path of the directory. */
  readonly path: string;
  /** What of the directory counts, as the `local` source's attributes say (`plan/llb`). */
  readonly filter: LocalFilter;
}

/** The transfer filters of a local source. Patterns are those of `.dockerignore`. */
export interface LocalFilter {
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly followPaths?: readonly string[];
}

export type Ref = SnapshotRef | LocalRef;

/** The empty tree. */
export const scratch: SnapshotRef = { kind: 'snapshot', layers: [] };

/** A result made of these layers, bottom first. */
export function snapshotRef(layers: readonly LayerID[]): SnapshotRef {
  return layers.length === 0 ? scratch : { kind: 'snapshot', layers };
}
