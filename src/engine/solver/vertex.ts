/** A vertex that is being solved, shared by all builds that want it. */
import type { BuildEvent, KeyPart, OutcomeEvent, Timestamp, VertexEvent } from '../status/event.ts';
import type { Cache, CacheImport, LocalCache } from './cache.ts';
import type { EdgeState } from './edge.ts';
import { type FailedAt, messageOf, VertexError } from './errors.ts';
import { type Flight, flight } from './flight.ts';
import type { Caches } from './lookup.ts';
import type { CacheMap, ContentKey, Op, Vertex, VertexReporter } from './op.ts';
import type { Semaphore } from './semaphore.ts';
import type { VertexStream } from './vertex-stream.ts';

/** What vertices get from the solver that they are in. */
export interface VertexServices<R> {
  readonly resolveOp: (vertex: Vertex, reporter: VertexReporter) => Op<R>;
  readonly cache: LocalCache<R>;
  readonly slots: Semaphore;
  readonly now: () => Timestamp;
}

export interface Answer<R> {
  readonly map: CacheMap<R>;
  readonly done: boolean;
}

/** The results of a run, and when it ended. */
export interface Ran<R> {
  readonly results: readonly R[];
  readonly at: Timestamp;
}

export interface ActiveVertex<R> {
  readonly vertex: Vertex;
  readonly inputs: readonly { readonly vertex: ActiveVertex<R>; readonly output: number }[];
  /** The outputs that someone asked for. */
  readonly edges: Map<number, EdgeState<R>>;
  readonly reporter: VertexReporter;

  /** Tells a build of the vertex, its past included, and from now on. */
  join(stream: VertexStream): void;
  leave(stream: VertexStream): void;
  /** The builds that the vertex is in. */
  readonly streams: ReadonlySet<VertexStream>;
  /** Attaches imported caches, each identity once. */
  attach(imports: readonly CacheImport<R>[]): void;
  caches(): Caches<R>;

  /** Answer `index` of the op's cache map. The methods that call the op throw `VertexError`s, or the reason of an abort. */
  answer(index: number, signal: AbortSignal): Promise<Answer<R>>;
  /** Prepares input `index` and computes its content digest; undefined when the op asks for none. */
  content(index: number, input: R, map: CacheMap<R>, signal: AbortSignal): Promise<ContentKey | undefined>;
  /** Runs the op, once whatever number of outputs is asked for. */
  run(inputs: readonly R[], signal: AbortSignal): Promise<Ran<R>>;
  /** Shows the vertex as cached while a result of it is loaded. */
  load(signal: AbortSignal, work: () => Promise<R>): Promise<R>;
  /** Says how the vertex ended, once. */
  settle(outcome: Omit<OutcomeEvent, 'kind' | 'vertex'>): void;
  readonly settled: boolean;
}

/** Starts a vertex on active inputs. */
export function activeVertex<R>(
  vertex: Vertex,
  inputs: ActiveVertex<R>['inputs'],
  services: VertexServices<R>,
): ActiveVertex<R> {
  const streams = new Set<VertexStream>();
  const imports = new Map<string, CacheImport<R>>();
  const arrived = new Map<string, Cache<R>>();
  const answers: Flight<Answer<R>>[] = [];
  const contents: Flight<ContentKey | undefined>[] = [];
  const running: Flight<Ran<R>>[] = [];
  /** Key and outcome events, for builds that join later. */
  const past: BuildEvent[] = [];
  let shown: VertexEvent = {
    kind: 'vertex',
    digest: vertex.digest,
    inputs: vertex.inputs.map(input => input.vertex.digest),
    name: vertex.name,
    cached: false,
    ...(vertex.progressGroup === undefined ? {} : { progressGroup: vertex.progressGroup }),
  };
  let open = 0;
  let outcome: OutcomeEvent | undefined;
  let op: Op<R> | undefined;

  function emit(event: BuildEvent): void {
    for (const stream of streams) stream.emit(event);
  }

  /** Shows the vertex as started while `work` runs. */
  async function during<T>(work: () => Promise<T>, cached = false, signal?: AbortSignal): Promise<T> {
    if (open > 0) return await work();
    open += 1;
    const { error: _past, completed: _before, ...base } = shown;
    const started = { ...base, started: services.now(), cached };
    shown = started;
    emit(shown);
    try {
      const value = await work();
      shown = { ...started, completed: services.now() };
      return value;
    } catch (error) {
      shown = {
        ...started,
        completed: services.now(),
        error: signal?.aborted ? 'context canceled' : messageOf(error),
      };
      throw error;
    } finally {
      open -= 1;
      emit(shown);
    }
  }

  const reporter: VertexReporter = { vertex: vertex.digest, emit, during: work => during(work) };

  function theOp(): Op<R> {
    op ??= services.resolveOp(vertex, reporter);
    return op;
  }

  function keyEvent(
    digest: string,
    source: 'definition' | 'content',
    of: { parts: readonly KeyPart[] },
    input?: number,
  ): void {
    const event: BuildEvent = {
      kind: 'key',
      vertex: vertex.digest,
      digest,
      source,
      ...(input === undefined ? {} : { input }),
      // A getter again, so that the parts of thousands of files are made only for who reads them.
      get parts() {
        return of.parts;
      },
    };
    past.push(event);
    emit(event);
  }

  function failing<T>(at: FailedAt, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return work().catch((error: unknown) => {
      if (signal.aborted) throw signal.reason;
      throw error instanceof VertexError ? error : new VertexError(vertex, at, error);
    });
  }

  async function ask(index: number, signal: AbortSignal): Promise<Answer<R>> {
    const call = async () => await theOp().cacheMap(index, signal);
    const answer = await (inputs.length === 0 ? during(call, false, signal) : call());
    const { map } = answer;
    if (map.deps.length !== inputs.length) {
      throw new Error(`the key of ${vertex.name} is for ${map.deps.length} inputs, there are ${inputs.length}`);
    }
    keyEvent(map.digest, 'definition', map);
    for (const [input, dep] of map.deps.entries()) {
      if (dep.selector === undefined) continue;
      const { selectorParts = [] } = dep;
      keyEvent(dep.selector, 'definition', { parts: selectorParts }, input);
    }
    return answer;
  }

  async function compute(
    index: number,
    input: R,
    map: CacheMap<R>,
    signal: AbortSignal,
  ): Promise<ContentKey | undefined> {
    const dep = map.deps[index];
    const below = inputs[index]?.vertex.reporter ?? reporter;
    try {
      await dep?.preprocess?.(input, signal, below);
      const key = await dep?.contentDigest?.(input, signal);
      if (key !== undefined) keyEvent(key.digest, 'content', key, index);
      return key;
    } catch (error) {
      // A vertex that fails before it starts is shown with its error all the same.
      return await during(() => Promise.reject(error), false, signal);
    }
  }

  async function execute(results: readonly R[], signal: AbortSignal): Promise<Ran<R>> {
    const release = await services.slots.acquire(theOp().weight ?? 1, signal);
    try {
      const made = await during(async () => await theOp().exec(results, signal), false, signal);
      return { results: made, at: services.now() };
    } finally {
      release();
    }
  }

  async function importsHere(signal: AbortSignal): Promise<void> {
    const missing = [...imports.values()].filter(({ id }) => !arrived.has(id));
    if (missing.length === 0) return;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      const caches = await Promise.race([Promise.all(missing.map(({ cache }) => cache)), aborted]);
      for (const [index, { id }] of missing.entries()) {
        const cache = caches[index];
        if (cache === undefined) imports.delete(id);
        else arrived.set(id, cache);
      }
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  return {
    vertex,
    inputs,
    edges: new Map(),
    reporter,
    streams,
    join(stream) {
      if (streams.has(stream)) return;
      streams.add(stream);
      stream.emit(shown);
      for (const event of past) stream.emit(event);
    },
    leave(stream) {
      streams.delete(stream);
    },
    attach(more) {
      for (const one of more) if (!imports.has(one.id)) imports.set(one.id, one);
    },
    caches: () => ({ local: services.cache, imports: [...arrived.values()] }),
    async answer(index, signal) {
      await importsHere(signal);
      answers[index] ??= flight(inner => failing('key', inner, () => ask(index, inner)));
      return await answers[index].join(signal);
    },
    async content(index, input, map, signal) {
      contents[index] ??= flight(inner => failing('content', inner, () => compute(index, input, map, inner)));
      return await contents[index].join(signal);
    },
    async run(results, signal) {
      running[0] ??= flight(inner => failing('run', inner, () => execute(results, inner)));
      return await running[0].join(signal);
    },
    load: (signal, work) => during(work, true, signal),
    settle(how) {
      if (outcome !== undefined) return;
      outcome = { kind: 'outcome', vertex: vertex.digest, ...how };
      past.push(outcome);
      emit(outcome);
    },
    get settled() {
      return outcome !== undefined;
    },
  };
}
