/** The state of one output of a vertex while it is solved. */

import type { CacheKey, CacheRecord, KeyLink, KeyOrigin } from './key.ts';
import type { Candidates } from './lookup.ts';
import type { CacheDep, CacheMap } from './op.ts';
import type { ActiveVertex } from './vertex.ts';

/** How much is known of an edge (cache-keys: the solver's order). */
export const Phase = {
  initial: 0,
  /** Keys that come from definitions alone are out. */
  fast: 1,
  /** No further key will come before the result. */
  slow: 2,
  /** The result is there. */
  complete: 3,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** That a consumer waits until an edge has reached a phase, or, short of the result, has a key more than the consumer has seen. */
export interface Demand<R> {
  /** Follows when the edge is merged into another. */
  target: EdgeState<R>;
  readonly phase: Phase;
  readonly seenKeys: number;
  /** Called when the edge changes, and when the demand is met. */
  readonly wake: () => void;
}

/** Something asynchronous that an edge waits for. */
export interface Task {
  readonly controller: AbortController;
  /** Resolves, never rejects, when the work has ended. */
  readonly ended: Promise<void>;
}

/** What an edge knows of one of its inputs. */
export interface InputState<R> {
  readonly index: number;
  readonly vertex: ActiveVertex<R>;
  readonly output: number;
  edge: EdgeState<R>;
  phase: Phase;
  demand: Demand<R> | undefined;
  /** How many of the input's keys were looked up. */
  probed: number;
  /** The keys of this step that keys of the input lead to. */
  readonly candidates: Candidates;
  contentTask: Task | undefined;
  /** The input is prepared, and its content digest is known where the op asks for one. */
  contentDone: boolean;
  contentKey: CacheKey<R> | undefined;
}

/** A result that could not be loaded, and why. */
interface FailedRecord<R> {
  readonly record: CacheRecord<R>;
  readonly reason: string;
}

interface EdgeResult<R> {
  readonly value: R;
  /** The keys that it is known by. */
  readonly keys: readonly CacheKey<R>[];
}

export interface EdgeState<R> {
  readonly vertex: ActiveVertex<R>;
  readonly output: number;
  readonly origin: KeyOrigin<R>;
  phase: Phase;
  result: EdgeResult<R> | undefined;
  error: Error | undefined;
  /** The keys that consumers may look up. */
  readonly keys: CacheKey<R>[];

  map: CacheMap<R> | undefined;
  /** The op has no further answer. */
  mapDone: boolean;
  /** The keys of a root, one an answer. */
  readonly rootKeys: CacheKey<R>[];
  inputs: InputState<R>[] | undefined;
  /** Ids of keys that are candidates of every input. */
  readonly matched: string[];
  /** Results that may be loaded, and those that could not be. */
  records: readonly CacheRecord<R>[];
  readonly failedRecords: FailedRecord<R>[];
  /** Some input leads to no key and never will. */
  noMatch: boolean;

  readonly demands: Set<Demand<R>>;
  mapTask: Task | undefined;
  runTask: Task | undefined;
  /** What consumers were last woken for. */
  shown: { readonly phase: Phase; readonly keys: number };

  /** Keys of inputs changed: the edge may have become equal to another. */
  keysChanged: boolean;
  /** Stands for the edges that this one is equal to but cannot be merged into. */
  equals: EdgeState<R> | undefined;
  mergedInto: EdgeState<R> | undefined;
}

/** The edge of an output of a vertex, or the one that it was merged into. */
export function edgeOf<R>(vertex: ActiveVertex<R>, output: number): EdgeState<R> {
  let edge = vertex.edges[output];
  if (edge === undefined) {
    edge = newEdge(vertex, output);
    vertex.edges[output] = edge;
  }
  while (edge.mergedInto !== undefined) edge = edge.mergedInto;
  return edge;
}

function newEdge<R>(vertex: ActiveVertex<R>, output: number): EdgeState<R> {
  return {
    vertex,
    output,
    origin: { alternatives: [], exportResults: vertex.vertex.exportCache ?? true },
    phase: Phase.initial,
    result: undefined,
    error: undefined,
    keys: [],
    map: undefined,
    mapDone: false,
    rootKeys: [],
    inputs: undefined,
    matched: [],
    records: [],
    failedRecords: [],
    noMatch: false,
    demands: new Set(),
    mapTask: undefined,
    runTask: undefined,
    shown: { phase: Phase.initial, keys: 0 },
    keysChanged: false,
    equals: undefined,
    mergedInto: undefined,
  };
}

/** The inputs of an edge. They come into being when the edge is first looked at, so that deep graphs need no recursion. */
export function inputsOf<R>(edge: EdgeState<R>): InputState<R>[] {
  edge.inputs ??= edge.vertex.inputs.map(({ vertex, output }, index) => ({
    index,
    vertex,
    output,
    edge: edgeOf(vertex, output),
    phase: Phase.initial,
    demand: undefined,
    probed: 0,
    candidates: new Map(),
    contentTask: undefined,
    contentDone: false,
    contentKey: undefined,
  }));
  return edge.inputs;
}

/** What the step says of one of its inputs, once it has said anything. */
export function depOf<R>(edge: EdgeState<R>, input: InputState<R>): CacheDep<R> | undefined {
  return edge.map?.deps[input.index];
}

/** Keys of an input with what the step sees of it; the content key, if there is one, at the end. */
export function linksOf<R>(
  edge: EdgeState<R>,
  input: InputState<R>,
  keys: readonly CacheKey<R>[],
  withContent: boolean,
): KeyLink<R>[] {
  const dep = depOf(edge, input);
  const links: KeyLink<R>[] = keys.map(key => ({
    key,
    selector: dep?.selector ?? '',
    selectorParts: dep?.selectorParts,
  }));
  if (withContent && input.contentKey !== undefined) links.push({ key: input.contentKey, selector: '' });
  return links;
}

/** All that an input is known by now: its result's keys and the content key, or the keys that were found so far. */
export function knownLinks<R>(edge: EdgeState<R>, input: InputState<R>): KeyLink<R>[] {
  const { result } = input.edge;
  return result === undefined ? linksOf(edge, input, input.edge.keys, false) : linksOf(edge, input, result.keys, true);
}
