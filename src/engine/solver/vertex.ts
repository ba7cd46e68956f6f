/** A vertex that is being solved, shared by all builds that want it: its op, called once whoever asks. */
import type { BuildEvent, KeyPart, OutcomeEvent, Timestamp, VertexEvent } from '../status/event.ts';
import type { Cache, CacheImport, LocalCache } from './cache.ts';
import type { EdgeState } from './edge.ts';
import { type FailedAt, messageOf, VertexError } from './errors.ts';
import { type Flight, flight, unlessAborted } from './flight.ts';
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

/** An answer of the op to what its key is. */
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
  readonly services: VertexServices<R>;
  /** The outputs that someone asked for. */
  readonly edges: (EdgeState<R> | undefined)[];
  /** The builds that the vertex is in, and the vertex as each has it. */
  readonly builds: Map<VertexStream, Vertex>;
  /** Imported caches that are still on their way, and those that are here. */
  coming: readonly CacheImport<R>[];
  caches: Caches<R>;

  reporter: VertexReporter | undefined;
  /** The op, and the build whose vertex it was made of. */
  op: { readonly op: Op<R>; readonly of: VertexStream | undefined } | undefined;
  readonly answers: Flight<Answer<R>>[];
  readonly contents: Flight<ContentKey | undefined>[];
  running: Flight<Ran<R>> | undefined;

  /** The vertex as builds see it. */
  shown: VertexEvent;
  /** It is shown as started and not completed. */
  busy: boolean;
  /** Key and outcome events, for builds that join later. */
  readonly past: BuildEvent[];
  settled: boolean;
}

/** A vertex on active inputs. */
export function activeVertex<R>(
  vertex: Vertex,
  inputs: ActiveVertex<R>['inputs'],
  services: VertexServices<R>,
): ActiveVertex<R> {
  return {
    vertex,
    inputs,
    services,
    edges: [],
    builds: new Map(),
    coming: [],
    caches: { local: services.cache, imports: [] },
    reporter: undefined,
    op: undefined,
    answers: [],
    contents: [],
    running: undefined,
    shown: {
      kind: 'vertex',
      digest: vertex.digest,
      inputs: vertex.inputs.map(input => input.vertex.digest),
      name: vertex.name,
      cached: false,
      ...(vertex.progressGroup === undefined ? {} : { progressGroup: vertex.progressGroup }),
    },
    busy: false,
    past: [],
    settled: false,
  };
}

/** Tells a build of a vertex, its past included, and from now on. */
export function join<R>(active: ActiveVertex<R>, stream: VertexStream, vertex: Vertex): void {
  if (active.builds.has(stream)) return;
  active.builds.set(stream, vertex);
  stream.emit(active.shown);
  for (const event of active.past) stream.emit(event);
}

/** Tells a build no more. An op that was made of its vertex may use what is going with it: another is made when needed. */
export function leave<R>(active: ActiveVertex<R>, stream: VertexStream): void {
  active.builds.delete(stream);
  if (active.op?.of === stream) active.op = undefined;
}

/** Attaches imported caches, each identity once. */
export function attach<R>(active: ActiveVertex<R>, imports: readonly CacheImport<R>[]): void {
  if (imports.length === 0) return;
  const known = new Set([...active.coming, ...active.caches.imports].map(({ id }) => id));
  const more = imports.filter(({ id }) => !known.has(id));
  if (more.length > 0) active.coming = [...active.coming, ...more];
}

async function importsHere<R>(active: ActiveVertex<R>, signal: AbortSignal): Promise<void> {
  const { coming } = active;
  const arrived = await unlessAborted(Promise.all(coming.map(({ cache }) => cache)), signal);
  const caches = arrived.filter((cache): cache is Cache<R> => cache !== undefined);
  active.coming = active.coming.filter(one => !coming.includes(one));
  const { local, imports } = active.caches;
  const known = new Set(imports.map(({ id }) => id));
  active.caches = { local, imports: [...imports, ...caches.filter(({ id }) => !known.has(id))] };
}

/**
 * Answer `index` of the op's cache map, once all imported caches are there.
 *
 * @throws VertexError when the op fails, or the reason of `signal`; so do the functions below.
 */
export async function answerOf<R>(active: ActiveVertex<R>, index: number, signal: AbortSignal): Promise<Answer<R>> {
  if (active.coming.length > 0) await importsHere(active, signal);
  active.answers[index] ??= flight(inner => failing(active, 'key', inner, () => ask(active, index, inner)));
  return await active.answers[index].join(signal);
}

/** Prepares input `index` and computes its content digest; undefined when the op asks for none. */
export async function contentOf<R>(
  active: ActiveVertex<R>,
  index: number,
  input: R,
  map: CacheMap<R>,
  signal: AbortSignal,
): Promise<ContentKey | undefined> {
  active.contents[index] ??= flight(inner =>
    failing(active, 'content', inner, () => compute(active, index, input, map, inner)),
  );
  return await active.contents[index].join(signal);
}

/** Runs the op, once whatever number of outputs is asked for. */
export async function runOf<R>(active: ActiveVertex<R>, inputs: readonly R[], signal: AbortSignal): Promise<Ran<R>> {
  active.running ??= flight(inner => failing(active, 'run', inner, () => execute(active, inputs, inner)));
  return await active.running.join(signal);
}

/** Says how a vertex ended, once. */
export function settle<R>(active: ActiveVertex<R>, how: Omit<OutcomeEvent, 'kind' | 'vertex'>): void {
  if (active.settled) return;
  active.settled = true;
  tell(active, { kind: 'outcome', vertex: active.vertex.digest, ...how });
}

/** Emits an event that builds which join later have to hear too. */
function tell<R>(active: ActiveVertex<R>, event: BuildEvent): void {
  active.past.push(event);
  emit(active, event);
}

function emit<R>(active: ActiveVertex<R>, event: BuildEvent): void {
  for (const stream of active.builds.keys()) stream.emit(event);
}

/** Shows a vertex as started, and as cached or not, while `work` runs. */
export async function during<R, T>(
  active: ActiveVertex<R>,
  how: { readonly cached: boolean; readonly signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  if (active.busy) return await work();
  const { now } = active.services;
  const { error: _error, completed: _completed, ...shown } = active.shown;
  const show = (event: VertexEvent, busy: boolean) => {
    active.shown = event;
    active.busy = busy;
    emit(active, event);
  };
  const started = { ...shown, started: now(), cached: how.cached };
  show(started, true);
  try {
    const value = await work();
    show({ ...started, completed: now() }, false);
    return value;
  } catch (error) {
    const text = how.signal?.aborted ? 'context canceled' : messageOf(error);
    show({ ...started, completed: now(), error: text }, false);
    throw error;
  }
}

function reporterOf<R>(active: ActiveVertex<R>): VertexReporter {
  active.reporter ??= {
    vertex: active.vertex.digest,
    emit: event => emit(active, event),
    during: work => during(active, { cached: false }, work),
  };
  return active.reporter;
}

function opOf<R>(active: ActiveVertex<R>): Op<R> {
  if (active.op === undefined) {
    const [[of, vertex] = [undefined, active.vertex]] = active.builds;
    active.op = { op: active.services.resolveOp(vertex, reporterOf(active)), of };
  }
  return active.op.op;
}

async function failing<R, T>(
  active: ActiveVertex<R>,
  at: FailedAt,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof VertexError ? error : new VertexError(active.vertex, at, error);
  }
}

async function ask<R>(active: ActiveVertex<R>, index: number, signal: AbortSignal): Promise<Answer<R>> {
  const { vertex, inputs } = active;
  const answer =
    inputs.length === 0
      ? await during(active, { cached: false, signal }, async () => await opOf(active).cacheMap(index, signal))
      : await opOf(active).cacheMap(index, signal);
  const { map } = answer;
  if (map.deps.length !== inputs.length) {
    throw new Error(`the key of ${vertex.name} is for ${map.deps.length} inputs, there are ${inputs.length}`);
  }
  tellKey(active, map.digest, 'definition', map);
  for (const [input, dep] of map.deps.entries()) {
    if (dep.selector === undefined) continue;
    const { selectorParts = [] } = dep;
    tellKey(active, dep.selector, 'definition', { parts: selectorParts }, input);
  }
  return answer;
}

async function compute<R>(
  active: ActiveVertex<R>,
  index: number,
  input: R,
  map: CacheMap<R>,
  signal: AbortSignal,
): Promise<ContentKey | undefined> {
  const dep = map.deps[index];
  const below = active.inputs[index]?.vertex ?? active;
  try {
    await dep?.preprocess?.(input, signal, reporterOf(below));
    const key = await dep?.contentDigest?.(input, signal);
    if (key !== undefined) tellKey(active, key.digest, 'content', key, index);
    return key;
  } catch (error) {
    // A vertex that fails before it starts is shown with its error all the same.
    return await during(active, { cached: false, signal }, () => Promise.reject(error));
  }
}

async function execute<R>(active: ActiveVertex<R>, inputs: readonly R[], signal: AbortSignal): Promise<Ran<R>> {
  const { slots, now } = active.services;
  const op = opOf(active);
  const release = await slots.acquire(op.weight ?? 1, signal);
  try {
    const results = await during(active, { cached: false, signal }, async () => await op.exec(inputs, signal));
    return { results, at: now() };
  } finally {
    release();
  }
}

function tellKey<R>(
  active: ActiveVertex<R>,
  digest: string,
  source: 'definition' | 'content',
  of: { readonly parts: readonly KeyPart[] },
  input?: number,
): void {
  const event = { kind: 'key', vertex: active.vertex.digest, digest, source } as const;
  if (input === undefined) tell(active, { ...event, parts: of.parts });
  else if (source === 'definition') tell(active, { ...event, input, parts: of.parts });
  else {
    tell(active, {
      ...event,
      input,
      // A getter again: the parts of thousands of files are made only for who reads them.
      get parts() {
        return of.parts;
      },
    });
  }
}
