/**
 * Edges that turn out to be equal while they are solved (cache-keys: merging edges): same cache-map digest and output,
 * and for each input a key in common. What an input is known by is written as tokens: the ids of root and content
 * keys, and for any other edge the class of edges that it is equal to.
 */
import { type EdgeState, edgeOf, inputsOf } from './edge.ts';
import { recordDigest } from './key.ts';

/** Edges known to be equal. Those that could be merged are one; the others at least share their consumers' tokens. */
export interface EdgeClass<R> {
  readonly id: number;
  /** The edge that others are merged into. */
  edge: EdgeState<R> | undefined;
  readonly tokens: Set<string>;
}

/** The classes of all active edges. */
export interface EqualEdges<R> {
  /** Notes what an edge is known by now; returns the edge that it can be merged into, if there is one. */
  place(edge: EdgeState<R>): EdgeState<R> | undefined;
  /** Forgets an edge that is not active any more. */
  forget(edge: EdgeState<R>): void;
}

/** An index without edges. */
export function equalEdges<R>(): EqualEdges<R> {
  const byToken = new Map<string, Set<EdgeClass<R>>>();
  let classes = 0;

  function classOf(edge: EdgeState<R>): EdgeClass<R> {
    if (edge.equals === undefined) {
      classes += 1;
      edge.equals = { id: classes, edge, tokens: new Set() };
    }
    return edge.equals;
  }

  function register(into: EdgeClass<R>, tokens: readonly string[][]): void {
    for (const token of tokens.flat()) {
      into.tokens.add(token);
      const known = byToken.get(token) ?? new Set();
      known.add(into);
      byToken.set(token, known);
    }
  }

  function find(tokens: readonly string[][], own: EdgeClass<R>): EdgeClass<R> | undefined {
    const [first = [], ...further] = tokens;
    for (const token of first) {
      for (const candidate of byToken.get(token) ?? []) {
        if (candidate === own) continue;
        if (further.every(alternatives => alternatives.some(one => candidate.tokens.has(one)))) return candidate;
      }
    }
    return undefined;
  }

  /** What each input is known by; undefined as long as one is known by nothing. A root counts as its own input. */
  function tokensOf(edge: EdgeState<R>): string[][] | undefined {
    if (edge.map === undefined) return undefined;
    if (edge.vertex.inputs.length === 0) {
      return [edge.rootKeys.map(key => `root ${recordDigest(key.digest, key.output)}`)];
    }
    const tokens: string[][] = [];
    for (const input of inputsOf(edge)) {
      const from = input.edge;
      const selector = edge.map.deps[input.index]?.selector ?? '';
      const step = `${edge.map.digest}@${edge.output} ${input.index}`;
      const names = new Set<string>();
      for (const key of [...from.keys, ...(from.result?.keys ?? [])]) {
        names.add(key.inputs.length === 0 ? recordDigest(key.digest, key.output) : `class ${classOf(from).id}`);
      }
      const own = [...names].map(name => `${step} ${selector} ${name}`);
      if (input.contentKey !== undefined) {
        const { digest, output } = input.contentKey;
        own.push(`${step}  ${recordDigest(digest, output)}`);
      }
      if (own.length === 0) return undefined;
      tokens.push(own);
    }
    return tokens;
  }

  /** Takes over what is known of a class that turned out to be another. */
  function unite(into: EdgeClass<R>, from: EdgeClass<R>): void {
    register(into, [[...from.tokens]]);
    drop(from);
  }

  function drop(gone: EdgeClass<R>): void {
    for (const token of gone.tokens) {
      const known = byToken.get(token);
      known?.delete(gone);
      if (known?.size === 0) byToken.delete(token);
    }
    gone.tokens.clear();
  }

  return {
    place(edge) {
      const tokens = tokensOf(edge);
      if (tokens === undefined) return undefined;
      const own = classOf(edge);
      const other = find(tokens, own);
      if (other !== undefined) {
        unite(other, own);
        edge.equals = other;
      }
      const { equals = own } = edge;
      register(equals, tokens);
      const stays = equals.edge === undefined ? undefined : edgeOf(equals.edge.vertex, equals.edge.output);
      if (stays === edge) return undefined;
      if (stays === undefined || stays.error !== undefined || (ignores(edge) && !ignores(stays))) {
        equals.edge = edge;
        return undefined;
      }
      return edge.runTask !== undefined || dependsOn(edge, stays) || dependsOn(stays, edge) ? undefined : stays;
    },

    forget(edge) {
      const { equals } = edge;
      if (equals?.edge !== edge) return;
      equals.edge = undefined;
      drop(equals);
    },
  };
}

function ignores<R>(edge: EdgeState<R>): boolean {
  return edge.vertex.vertex.ignoreCache;
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
