/**
 * What the solver asks of a cache. A cache is a store of keys, which are nodes joined by links, and a store of results,
 * which hang under keys. The local cache is one; each imported cache is another, asked beside it (cache-keys of
 * BuildKit: ids and links, several caches).
 */
import type { KeyPart, Timestamp } from '../status/event.ts';

/** "As input `input` of a step with cache-map digest `digest`, seen through `selector`, for its output `output`". */
export interface Link {
  readonly input: number;
  readonly output: number;
  readonly digest: string;
  /** Empty when there is none. */
  readonly selector: string;
}

/** A link seen from its target. */
export interface Backlink {
  /** The id of the key that the link comes from. */
  readonly from: string;
  readonly input: number;
  readonly selector: string;
  /** `recordDigest` of the link's digest and output: all that an imported cache knows of them. */
  readonly record: string;
}

/** A result that hangs under a key. */
export interface StoredResult {
  readonly id: string;
  /** When the run that made it ended, nanoseconds since the epoch. */
  readonly createdAt: Timestamp;
}

/**
 * Keys by id, with links and results. Ids of roots and content keys are `recordDigest`s; all other ids are random and
 * mean nothing but in their store.
 */
export interface KeyStore {
  /** Whether the key has a result or a link from it. */
  has(id: string): boolean;
  /** The keys that the link leads to from key `id`. */
  targets(id: string, link: Link): readonly string[];
  /** Makes a link, and its ends where they are missing. */
  addLink(id: string, link: Link, target: string): void;
  backlinks(id: string): readonly Backlink[];
  results(id: string): readonly StoredResult[];
  addResult(id: string, result: StoredResult): void;
  /** Forgets a result that is gone, the keys that then have neither results nor links from them, and so on up. */
  dropResult(resultId: string): void;
  /** Forgets all links from a key, the keys that then have neither results nor links from them, and so on up. */
  dropLinks(id: string): void;
  /** The keys that a result hangs under. */
  keysOf(resultId: string): readonly string[];
  /** A fresh random id. */
  newId(): string;
  /** Writes of `work` become one; they are undone when it throws. */
  transaction<T>(work: () => T): T;
  /** Keeps the named parts behind a digest, once. Imported caches keep none. */
  saveParts?(digest: string, parts: () => readonly KeyPart[]): void;
}

/** Gives results by id. */
export interface ResultSource<R> {
  /** Whether the result can still be loaded. A cheap look, done for each candidate. */
  exists(resultId: string): boolean;
  /** Hands out a result without reading its files. A throw means that it is unusable: the next candidate is tried. */
  load(resultId: string, signal: AbortSignal): Promise<R>;
  /**
   * Loads a result of an imported cache together with those of the keys below it whose layers are the lower part of its
   * own; by key id.
   */
  loadWithParents?(resultId: string, signal: AbortSignal): Promise<ReadonlyMap<string, R>>;
}

/** Keeps results of this machine. */
export interface ResultStore<R> extends ResultSource<R> {
  /** The id under which a result, which is already safe on disk, can be loaded later; undefined when it cannot be. */
  save(result: R): string | undefined;
}

/** A cache to look up in. `id` tells it in events: the identity of an import, or `local`. */
export interface Cache<R> {
  readonly id: string;
  readonly keys: KeyStore;
  readonly results: ResultSource<R>;
}

/** The cache that runs are saved to. */
export interface LocalCache<R> extends Cache<R> {
  readonly results: ResultStore<R>;
}

/** An imported cache that may still be on its way. Nothing is looked up before it has come; undefined is an empty one. */
export interface CacheImport<R> {
  readonly id: string;
  readonly cache: Promise<Cache<R> | undefined>;
}
