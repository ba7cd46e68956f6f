/** Cache keys in memory. The same key has an id of its own in each store that knows it. */
import { hash } from 'node:crypto';
import type { KeyPart, Timestamp } from '../status/event.ts';
import type { Cache, KeyStore, Link } from './cache.ts';

/** The output index that content keys have. */
export const contentOutput = -1;

/** One of the keys that an input is known by, and what of it counts. */
export interface KeyLink<R> {
  readonly key: CacheKey<R>;
  /** Empty for content keys and where the op gave none. */
  readonly selector: string;
  readonly selectorParts?: readonly KeyPart[] | undefined;
}

/** What all keys of an edge share when they are exported. */
export interface KeyOrigin<R> {
  /** Per input, keys of edges that were merged into this one. */
  readonly alternatives: (readonly KeyLink<R>[] | undefined)[];
  /** False when the vertex keeps its results out of exports. */
  readonly exportResults: boolean;
}

export interface CacheKey<R> {
  /** The cache-map digest, or the content digest of an input. */
  readonly digest: string;
  readonly output: number;
  /** Per input of the step the keys it is known by; none for roots and content keys. */
  readonly inputs: readonly (readonly KeyLink<R>[])[];
  readonly ids: Map<KeyStore, string>;
  /** The named parts behind `digest`. */
  readonly parts: () => readonly KeyPart[];
  readonly origin?: KeyOrigin<R> | undefined;
  /** The results that were found under the key, best first. */
  records: readonly CacheRecord<R>[];
  /** The result that was loaded or saved. */
  record?: CacheRecord<R>;
}

/** A result under a key, as found in a cache. */
export interface CacheRecord<R> {
  readonly cache: Cache<R>;
  readonly key: CacheKey<R>;
  readonly resultId: string;
  readonly createdAt: Timestamp;
}

/**
 * The digest of a record in an exported cache, which is also the id of a root or content key in every store:
 * SHA-256 of `<digest>@<output>`. A `random:` digest is its own.
 */
export function recordDigest(digest: string, output: number): string {
  return digest.startsWith('random:') ? digest : `sha256:${hash('sha256', `${digest}@${output}`)}`;
}

/** A key without inputs. */
export function rootKey<R>(
  digest: string,
  output: number,
  parts: () => readonly KeyPart[],
  origin?: KeyOrigin<R>,
): CacheKey<R> {
  return { digest, output, inputs: [], ids: new Map(), parts, origin, records: [] };
}

/** The link that leads from a key of input `input` to keys of the given digest and output. */
export function linkOf(
  key: { readonly digest: string; readonly output: number },
  input: number,
  selector: string,
): Link {
  return { input, output: key.output, digest: key.digest, selector };
}

/**
 * The id of a key in a store, found by the links from its inputs, or a new one that nothing leads to yet. It is
 * remembered in the key. Chains are long, so the walk down is a loop.
 */
export function idIn<R>(store: KeyStore, key: CacheKey<R>): string {
  const stack = [key];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (top.ids.has(store)) {
      stack.pop();
      continue;
    }
    const below = top.inputs.flat().filter(link => !link.key.ids.has(store));
    if (below.length > 0) {
      for (const link of below) stack.push(link.key);
      continue;
    }
    top.ids.set(store, top.inputs.length === 0 ? recordDigest(top.digest, top.output) : idByLinks(store, top));
    stack.pop();
  }
  return key.ids.get(store) ?? recordDigest(key.digest, key.output);
}

/**
 * BuildKit's rule, odd as it is: one key of the first input has to lead there, and every key of each further input. But
 * where the content of an input is known it alone decides: what its definition leads to may be of other content.
 */
function idByLinks<R>(store: KeyStore, key: CacheKey<R>): string {
  const [first = [], ...further] = key.inputs.map(links => {
    const content = links.filter(link => link.key.output === contentOutput);
    return content.length > 0 ? content : links;
  });
  const reach = (input: number, link: KeyLink<R>) =>
    store.targets(link.key.ids.get(store) ?? '', linkOf(key, input, link.selector));
  let ids = [...new Set(first.flatMap(link => reach(0, link)))];
  for (const [index, links] of further.entries()) {
    for (const link of links) {
      if (ids.length === 0) break;
      const reached = new Set(reach(index + 1, link));
      ids = ids.filter(id => reached.has(id));
    }
  }
  // What only a session's key leads to can only be found in that session.
  const ofSession = key.inputs.some(links => links.every(link => link.key.ids.get(store)?.startsWith('random:')));
  return ids[0] ?? (ofSession ? `random:${store.newId()}` : store.newId());
}
