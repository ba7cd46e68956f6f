/**
 * Edges that turn out to be equal while they are solved (cache-keys: merging edges): same cache-map digest and output,
 * and for each input a key in common.
 */
import { type EdgeState, edgeOf, type InputState, inputsOf } from './edge.ts';
import { recordDigest } from './key.ts';

/** The active edges by the digests of their cache maps. */
export interface EqualEdges<R> {
  /** Notes an edge whose keys changed; returns an equal one that it can be merged into, if there is one. */
  place(edge: EdgeState<R>): EdgeState<R> | undefined;
  /** Forgets an edge that is not active any more. */
  forget(edge: EdgeState<R>): void;
}

/** An index without edges. */
export function equalEdges<R>(): EqualEdges<R> {
  const byDigest = new Map<string, Set<EdgeState<R>>>();

  return {
    place(edge) {
      const { map, runTask } = edge;
      if (map === undefined) return undefined;
      const alike = byDigest.get(map.digest);
      if (alike === undefined) {
        byDigest.set(map.digest, new Set([edge]));
        return undefined;
      }
      alike.add(edge);
      if (alike.size === 1 || runTask !== undefined) return undefined;
      for (const other of alike) {
        if (other === edge || other.mergedInto !== undefined || other.error !== undefined) continue;
        if (!areEqual(edge, other)) continue;
        if (dependsOn(edge, other) || dependsOn(other, edge)) {
          // Not one, but whoever stands on either must see that they are equal.
          edge.equals ??= other.equals ?? other;
          other.equals ??= edge.equals;
        } else if (!edge.vertex.vertex.ignoreCache || other.vertex.vertex.ignoreCache) {
          return other;
        }
      }
      return undefined;
    },

    forget(edge) {
      const digests = edge.rootKeys.length > 0 ? edge.rootKeys.map(key => key.digest) : [edge.map?.digest ?? ''];
      for (const digest of digests) {
        const alike = byDigest.get(digest);
        alike?.delete(edge);
        if (alike?.size === 0) byDigest.delete(digest);
      }
    },
  };
}

/** Whether two edges whose cache maps have the same digest have a key in common for every input. */
function areEqual<R>(a: EdgeState<R>, b: EdgeState<R>): boolean {
  if (a.output !== b.output || a.vertex.inputs.length !== b.vertex.inputs.length) return false;
  const others = inputsOf(b);
  return inputsOf(a).every((input, index) => {
    const other = others[index];
    return other !== undefined && (shareDefinition(a, input, b, other) || shareContent(input, other));
  });
}

function shareContent<R>(a: InputState<R>, b: InputState<R>): boolean {
  return a.contentKey !== undefined && a.contentKey.digest === b.contentKey?.digest;
}

function shareDefinition<R>(a: EdgeState<R>, input: InputState<R>, b: EdgeState<R>, other: InputState<R>): boolean {
  const selector = a.map?.deps[input.index]?.selector ?? '';
  if (selector !== (b.map?.deps[other.index]?.selector ?? '')) return false;
  const ours = edgeOf(input.vertex, input.output);
  const theirs = edgeOf(other.vertex, other.output);
  if (!hasKeys(ours) || !hasKeys(theirs)) return false;
  if (ours === theirs || (ours.equals ?? ours) === (theirs.equals ?? theirs)) return true;
  const roots = new Set(rootIds(ours));
  return rootIds(theirs).some(id => roots.has(id));
}

function hasKeys<R>(edge: EdgeState<R>): boolean {
  return edge.keys.length > 0 || edge.result !== undefined;
}

function rootIds<R>({ keys, result }: EdgeState<R>): string[] {
  return [...keys, ...(result?.keys ?? [])]
    .filter(key => key.inputs.length === 0)
    .map(key => recordDigest(key.digest, key.output));
}

/** Whether the vertex of `other` is the vertex of `edge` or stands below it, along merges. */
function dependsOn<R>(edge: EdgeState<R>, other: EdgeState<R>): boolean {
  const seen = new Set([edge]);
  for (const next of seen) {
    if (next.vertex === other.vertex) return true;
    for (const { vertex, output } of next.vertex.inputs) seen.add(edgeOf(vertex, output));
  }
  return false;
}
