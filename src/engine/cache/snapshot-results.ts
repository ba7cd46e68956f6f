import type { SnapshotRef } from '../ops/ref.ts';
import { type Ref, snapshotRef } from '../ops/ref.ts';
import type { ResultStore } from '../solver/cache.ts';

/** What the results need of the layer store. */
export interface ResultLayers {
  has(layer: string): boolean;
  get(layer: string): { readonly parents: readonly string[] } | undefined;
  isReachable(layer: string): boolean;
}

export interface SnapshotResults extends ResultStore<Ref> {
  /** The layers of a result, bottom first; undefined when it is not known. */
  layersOf(id: string): readonly string[] | undefined;
}

/** A result whose layers cannot be read now. */
class ResultUnreachableError extends Error {
  override readonly name = 'ResultUnreachableError';
}

const CHAIN = 'chain:';
const STACK = 'stack:';

/**
 * Results by the ids of their layers: a chain, in which each layer was made on those below, by its topmost; any other
 * stack by all of them. What is no snapshot, a build context, is not kept.
 */
export function snapshotResults(layers: ResultLayers): SnapshotResults {
  const layersOf = (id: string): readonly string[] | undefined => {
    if (id.startsWith(STACK))
      return id
        .slice(STACK.length)
        .split(',')
        .filter(layer => layer !== '');
    const top = id.slice(CHAIN.length);
    const record = layers.get(top);
    return record && [...record.parents, top];
  };
  const isChain = ({ layers: ids }: SnapshotRef): boolean => {
    const parents = layers.get(ids.at(-1) ?? '')?.parents;
    return (
      parents !== undefined &&
      parents.length === ids.length - 1 &&
      parents.every((parent, index) => parent === ids[index])
    );
  };
  return {
    layersOf,
    exists: id => layersOf(id)?.every(layer => layers.has(layer)) ?? false,
    async load(id) {
      const found = layersOf(id);
      const lost = found?.find(layer => !layers.isReachable(layer));
      if (!found || lost !== undefined) {
        throw new ResultUnreachableError(
          `the layer ${lost ?? id} is neither on this machine nor in a source of this build`,
        );
      }
      return snapshotRef(found);
    },
    save(result) {
      if (result.kind !== 'snapshot') return undefined;
      return isChain(result) ? `${CHAIN}${result.layers.at(-1)}` : `${STACK}${result.layers.join(',')}`;
    },
  };
}
