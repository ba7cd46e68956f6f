/**
 * What the solver asks of the things that it schedules. The solver knows no disk, network or clock: a result is a value
 * that it only hands on.
 */
import type { EventSink, KeyPart, ProgressGroup } from '../status/event.ts';

/** One output of a vertex. */
export interface Edge {
  readonly vertex: Vertex;
  readonly output: number;
}

/** A step of the build graph; two with the same digest are one. */
export interface Vertex {
  readonly digest: string;
  readonly name: string;
  readonly inputs: readonly Edge[];
  /** Do not look up: run, and let what is above not match by definition either (`--no-cache`). */
  readonly ignoreCache: boolean;
  /** `export_cache` of the metadata: false keeps the result of this step out of every exported cache. */
  readonly exportCache?: boolean;
  readonly progressGroup?: ProgressGroup;
}

/** Says what a vertex does, to every build that the vertex is in. */
export interface VertexReporter {
  /** The digest of the vertex, which statuses and logs name. */
  readonly vertex: string;
  readonly emit: EventSink;
  /** Shows the vertex as running while `work` runs, again if it had completed: a lazy image that is pulled late. */
  during<T>(work: () => Promise<T>): Promise<T>;
}

/** What an input adds to the key of a step. */
export interface CacheDep<R> {
  /** Digest of the paths of the input that the step uses; part of the definition key. */
  readonly selector?: string;
  /** Named parts behind `selector`. */
  readonly selectorParts?: readonly KeyPart[];
  /** The digest of the files of the input that the step uses. Its failure is the step's. */
  readonly contentDigest?: (input: R, signal: AbortSignal) => Promise<ContentKey>;
  /**
   * Called once when the input is at hand and before its files are needed, even if only for `contentDigest`. The
   * reporter is that of the input's vertex: a pull is shown there.
   */
  readonly preprocess?: (input: R, signal: AbortSignal, reporter: VertexReporter) => Promise<void>;
}

/** A content digest with its reasons. `parts` may be a getter: it is read only when it is stored or shown. */
export interface ContentKey {
  readonly digest: string;
  readonly parts: readonly KeyPart[];
}

/** The key of a step: a digest over what it does, and per input what of it counts. */
export interface CacheMap<R> {
  /** `sha256:…`, or `random:…` for a key that must never be exported. */
  readonly digest: string;
  readonly parts: readonly KeyPart[];
  /** One per input of the vertex. */
  readonly deps: readonly CacheDep<R>[];
}

/** How a vertex is keyed and run. One is made per vertex and solve. */
export interface Op<R> {
  /**
   * Answer number `index` (0, 1, …) to "what is your key?"; `done` when there is no further one. Only steps without
   * inputs give more than one.
   */
  cacheMap(index: number, signal: AbortSignal): Promise<{ readonly map: CacheMap<R>; readonly done: boolean }>;
  /** Runs the step; one result per output. */
  exec(inputs: readonly R[], signal: AbortSignal): Promise<readonly R[]>;
  /** Slots that `exec` takes of the parallelism limit; 1 unless said. */
  readonly weight?: number;
}
