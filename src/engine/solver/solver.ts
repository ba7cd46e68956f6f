/** The solver: builds that share vertices, and the vertices that are active. */
import type { EventSink, OutcomeEvent } from '../status/event.ts';
import { advance } from './advance.ts';
import type { CacheImport } from './cache.ts';
import { type EdgeState, edgeOf, Phase } from './edge.ts';
import { equalEdges } from './equal-edges.ts';
import type { CacheKey } from './key.ts';
import { byPreference } from './lookup.ts';
import type { Edge, Vertex } from './op.ts';
import { createScheduler, type Scheduler } from './scheduler.ts';
import { semaphore } from './semaphore.ts';
import { type ActiveVertex, activeVertex, attach, join, leave, type VertexServices } from './vertex.ts';
import { type VertexStream, vertexStream } from './vertex-stream.ts';

export interface SolverOptions<R> extends Omit<VertexServices<R>, 'slots'> {
  /** How much may run at once. */
  readonly parallelism: number;
}

interface JobOptions<R> {
  /** Takes the events of this build, those of vertices that other builds share included. */
  readonly emit: EventSink;
  /** Caches to look up in beside the local one. */
  readonly imports?: readonly CacheImport<R>[];
  /** What others call the build in `companions`. */
  readonly name?: string;
}

/** The result of an edge and the keys that it is known by, for `walkForExport`. */
interface Solved<R> {
  readonly result: R;
  readonly keys: readonly CacheKey<R>[];
}

/** One build. Vertices stay active, with their results, until all their builds are disposed. */
export interface Job<R> extends AsyncDisposable {
  /**
   * Solves an edge; several may be solved at once.
   *
   * @param more - caches to look up in beside those of the build
   * @throws VertexError for the first step that failed, after work that nobody wants any more has ended.
   * @throws the reason of `signal`, or of the disposal, likewise.
   */
  build(edge: Edge, signal?: AbortSignal, more?: readonly CacheImport<R>[]): Promise<Solved<R>>;
  /** The names of the other builds that share a vertex with this one now. */
  companions(): ReadonlySet<string>;
}

export interface Solver<R> {
  openJob(options: JobOptions<R>): Job<R>;
  /** The results of all steps of the builds that run. */
  results(): R[];
}

/** A solver without builds. Its builds share what runs at the same time. */
export function createSolver<R>(options: SolverOptions<R>): Solver<R> {
  const services: VertexServices<R> = { ...options, slots: semaphore(options.parallelism) };
  const equal = equalEdges<R>();
  const scheduler: Scheduler<R> = createScheduler(edge => advance(scheduler, equal, edge));
  const active = new Map<string, ActiveVertex<R>[]>();
  const names = new WeakMap<VertexStream, string>();

  /**
   * The active vertex that a vertex can share: one on the same inputs that has not failed. One that must run is kept
   * apart from one that may be cached; the other way round they are one.
   */
  function shared(vertex: Vertex, inputs: ActiveVertex<R>['inputs']): ActiveVertex<R> | undefined {
    return active.get(vertex.digest)?.find(candidate => {
      const failed = candidate.edges.some(edge => edge?.error !== undefined);
      const sameInputs = candidate.inputs.every((input, index) => input.vertex === inputs[index]?.vertex);
      return sameInputs && !failed && (candidate.vertex.ignoreCache || !vertex.ignoreCache);
    });
  }

  function activate(vertex: Vertex, inputs: ActiveVertex<R>['inputs']): ActiveVertex<R> {
    const known = shared(vertex, inputs);
    if (known !== undefined) return known;
    const made = activeVertex(vertex, inputs, services);
    active.set(vertex.digest, [made, ...(active.get(vertex.digest) ?? [])]);
    return made;
  }

  /** Activates a graph, inputs first, without recursion: chains are long. */
  function load(target: Vertex, visit: (active: ActiveVertex<R>, vertex: Vertex) => void): ActiveVertex<R> {
    const byDigest = new Map<string, ActiveVertex<R>>();
    const stack = [target];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (!byDigest.has(top.digest)) {
        const below = top.inputs.filter(input => !byDigest.has(input.vertex.digest));
        if (below.length > 0) {
          for (const input of below.reverse()) stack.push(input.vertex);
          continue;
        }
        const inputs = top.inputs.flatMap(({ vertex, output }) => {
          const input = byDigest.get(vertex.digest);
          return input === undefined ? [] : [{ vertex: input, output }];
        });
        const made = activate(top, inputs);
        byDigest.set(top.digest, made);
        visit(made, top);
      }
      stack.pop();
    }
    return byDigest.get(target.digest) ?? activate(target, []);
  }

  function release(vertex: ActiveVertex<R>): void {
    const { digest } = vertex.vertex;
    const others = active.get(digest)?.filter(other => other !== vertex) ?? [];
    if (others.length > 0) active.set(digest, others);
    else active.delete(digest);
    for (const edge of vertex.edges) if (edge !== undefined) equal.forget(edge);
  }

  /** How a vertex ended that was neither loaded nor run: a result was there, or nobody asked. */
  function unsettled(vertex: ActiveVertex<R>): OutcomeEvent {
    const kind = { kind: 'outcome', vertex: vertex.vertex.digest } as const;
    const records = vertex.edges.flatMap(edge => edge?.records ?? []);
    const [record] = byPreference(records, services.cache);
    if (record === undefined) return { ...kind, outcome: 'unneeded' };
    const { cache, createdAt } = record;
    return { ...kind, outcome: 'hit', cache: cache.id, record: record.key.ids.get(cache.keys) ?? '', createdAt };
  }

  return {
    openJob({ emit, imports = [], name }) {
      const vertices = new Map<string, ActiveVertex<R>>();
      const building = new Set<Promise<unknown>>();
      const closing = new AbortController();
      const stream = vertexStream(emit, say);
      if (name !== undefined) names.set(stream, name);

      function say(digest: string): void {
        const vertex = vertices.get(digest);
        vertices.delete(digest);
        if (vertex !== undefined && !vertex.settled) emit(unsettled(vertex));
      }

      async function build(edge: Edge, signal: AbortSignal, more: readonly CacheImport<R>[]): Promise<Solved<R>> {
        signal.throwIfAborted();
        const vertex = load(edge.vertex, (found, of) => {
          vertices.set(found.vertex.digest, found);
          attach(found, [...imports, ...more]);
          join(found, stream, of);
        });
        try {
          const target = await reach(scheduler, edgeOf(vertex, edge.output), signal);
          return { result: target.value, keys: target.keys };
        } catch (error) {
          await scheduler.aborted(stream);
          throw error;
        }
      }

      return {
        build(edge, signal, more = []) {
          const either = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
          const built = build(edge, either, more);
          building.add(built);
          return built.finally(() => building.delete(built));
        },

        companions() {
          const shared = [...active.values()].flat().filter(({ builds }) => builds.has(stream));
          const others = shared.flatMap(({ builds }) => [...builds.keys()].filter(one => one !== stream));
          return new Set(others.flatMap(other => names.get(other) ?? []));
        },

        async [Symbol.asyncDispose]() {
          closing.abort(new Error('the build was closed'));
          await Promise.allSettled(building);
          for (const digest of [...vertices.keys()]) say(digest);
          stream.end(services.now());
          for (const vertex of [...active.values()].flat()) {
            leave(vertex, stream);
            if (vertex.builds.size === 0) release(vertex);
          }
        },
      };
    },
    results() {
      const vertices = [...active.values()].flat();
      return vertices.flatMap(vertex =>
        vertex.edges.flatMap((edge, output) => {
          const result = edge && edgeOf(vertex, output).result;
          return result === undefined ? [] : [result.value];
        }),
      );
    },
  };
}

/** Demands the result of an edge and waits for it. Rejects with the edge's error or the signal's reason. */
async function reach<R>(scheduler: Scheduler<R>, edge: EdgeState<R>, signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<NonNullable<EdgeState<R>['result']>>();
  const demand = scheduler.demand(edge, Phase.complete, 0, () => {
    const { error, result } = demand.target;
    if (error !== undefined) reject(error);
    else if (result !== undefined) resolve(result);
  });
  const abort = () => {
    scheduler.withdraw(demand);
    reject(signal.reason);
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
