/** One look at an edge: what it learned, whom it answers, and what it does next. */
import { canRun, phasesToAsk } from './ask.ts';
import { depOf, type EdgeState, type InputState, inputsOf, knownLinks, linksOf, Phase } from './edge.ts';
import type { EqualEdges } from './equal-edges.ts';
import { VertexError } from './errors.ts';
import type { CacheKey } from './key.ts';
import { byPreference, loadRecord, saveResult } from './lookup.ts';
import { giveUpRecord, learnContent, learnRoot, matchKeys, observeInputs, phaseOf } from './match.ts';
import type { Scheduler } from './scheduler.ts';
import { type ActiveVertex, answerOf, contentOf, during, join, type Ran, runOf, settle } from './vertex.ts';
import type { VertexStream } from './vertex-stream.ts';

/**
 * Takes an edge as far as it gets without waiting. Whatever is thrown on the way (a cache that cannot be read) fails
 * the edge.
 */
export function advance<R>(scheduler: Scheduler<R>, equal: EqualEdges<R>, edge: EdgeState<R>): void {
  if (edge.mergedInto !== undefined) return;
  try {
    if (edge.phase < Phase.complete && edge.error === undefined) {
      observeInputs(edge);
      matchKeys(edge);
      edge.phase = phaseOf(edge);
    }
    answer(edge);
    if (edge.demands.size === 0) retire(scheduler, edge);
    else proceed(scheduler, equal, edge);
  } catch (error) {
    fail(edge, error);
    answer(edge);
    retire(scheduler, edge);
  }
}

function fail<R>(edge: EdgeState<R>, error: unknown): void {
  edge.error ??= error instanceof VertexError ? error : new VertexError(edge.vertex.vertex, 'key', error);
}

/** Wakes consumers when something changed, and lets those go whose demand is met. */
function answer<R>(edge: EdgeState<R>): void {
  const { phase, keys, error } = edge;
  const changed = error !== undefined || phase !== edge.shown.phase || keys.length !== edge.shown.keys;
  edge.shown = { phase, keys: keys.length };
  for (const demand of edge.demands) {
    const met =
      error !== undefined || phase >= demand.phase || (demand.phase < Phase.complete && keys.length > demand.seenKeys);
    if (met) edge.demands.delete(demand);
    if (met || changed) demand.wake();
  }
}

function wantNothing<R>(scheduler: Scheduler<R>, edge: EdgeState<R>): void {
  for (const input of edge.inputs ?? []) {
    if (input.demand === undefined) continue;
    scheduler.withdraw(input.demand);
    input.demand = undefined;
  }
}

/** Nobody wants the edge now. Its own work is aborted unless someone comes back at once. */
function retire<R>(scheduler: Scheduler<R>, edge: EdgeState<R>): void {
  wantNothing(scheduler, edge);
  scheduler.desert(edge);
}

function proceed<R>(scheduler: Scheduler<R>, equal: EqualEdges<R>, edge: EdgeState<R>): void {
  if (edge.keysChanged) {
    edge.keysChanged = false;
    const stays = equal.place(edge);
    if (stays !== undefined) {
      merge(scheduler, edge, stays);
      return;
    }
  }
  if (edge.mapTask === undefined && !edge.mapDone && edge.records.length === 0) askForMap(scheduler, edge);
  if (edge.runTask !== undefined) return;
  let goal: Phase = Phase.initial;
  for (const { phase } of edge.demands) if (phase > goal) goal = phase;
  if (goal === Phase.complete) {
    if (edge.records.length > 0) {
      load(scheduler, edge);
      return;
    }
    if (canRun(edge)) {
      run(scheduler, edge);
      return;
    }
  }
  if (askInputs(scheduler, edge, phasesToAsk(edge, goal)) || edge.mapTask !== undefined) return;
  // Nothing is under way and no rule wants anything: only results of inputs can tell more.
  askInputs(
    scheduler,
    edge,
    inputsOf(edge).map(() => Phase.complete),
  );
}

function askForMap<R>(scheduler: Scheduler<R>, edge: EdgeState<R>): void {
  edge.mapTask = scheduler.start(edge, signal => answerOf(edge.vertex, edge.rootKeys.length, signal), {
    cleared: () => {
      edge.mapTask = undefined;
    },
    done: ({ map, done }) => {
      edge.map = map;
      edge.mapDone = done || edge.vertex.inputs.length > 0;
      edge.keysChanged = true;
      if (edge.vertex.inputs.length === 0) learnRoot(edge);
    },
    failed: error => fail(edge, error),
  });
}

/** Asks inputs for phases, and computes what is due on those that are there. Returns whether anything is under way. */
function askInputs<R>(scheduler: Scheduler<R>, edge: EdgeState<R>, phases: readonly Phase[]): boolean {
  let underWay = false;
  for (const input of inputsOf(edge)) {
    const phase = phases[input.index] ?? input.phase;
    if (input.phase < phase && !(isOpen(input) && input.demand?.phase === phase)) {
      if (input.demand !== undefined) scheduler.withdraw(input.demand);
      const seenKeys = input.edge.keys.length;
      input.demand = scheduler.demand(input.edge, phase, seenKeys, () => scheduler.wake(edge));
    }
    prepare(scheduler, edge, input);
    underWay ||= isOpen(input) || input.contentTask !== undefined;
  }
  return underWay;
}

function isOpen<R>({ demand }: InputState<R>): boolean {
  return demand?.target.demands.has(demand) === true;
}

function prepare<R>(scheduler: Scheduler<R>, edge: EdgeState<R>, input: InputState<R>): void {
  const { map } = edge;
  const dep = depOf(edge, input);
  const { result } = input.edge;
  if (map === undefined || result === undefined || input.contentDone || input.contentTask !== undefined) return;
  if (dep?.contentDigest === undefined && dep?.preprocess === undefined) return;
  input.contentTask = scheduler.start(edge, signal => contentOf(edge.vertex, input.index, result.value, map, signal), {
    cleared: () => {
      input.contentTask = undefined;
    },
    done: content => learnContent(edge, input, content),
    failed: error => fail(edge, error),
  });
}

function load<R>(scheduler: Scheduler<R>, edge: EdgeState<R>): void {
  const caches = edge.vertex.caches;
  const [record] = byPreference(edge.records, caches.local);
  if (record === undefined) return;
  wantNothing(scheduler, edge);
  const work = (signal: AbortSignal) =>
    during(edge.vertex, { cached: true, signal }, () => loadRecord(caches, record, signal));
  edge.runTask = scheduler.start(edge, work, {
    cleared: () => {
      edge.runTask = undefined;
    },
    done: value => {
      record.key.record = record;
      settle(edge.vertex, {
        outcome: 'hit',
        cache: record.cache.id,
        record: record.key.ids.get(record.cache.keys) ?? '',
        createdAt: record.createdAt,
      });
      complete(edge, value, [record.key]);
    },
    // An unusable result is no failure of the step: the next one is tried, or the step runs.
    failed: error => giveUpRecord(edge, record, error),
  });
}

function run<R>(scheduler: Scheduler<R>, edge: EdgeState<R>): void {
  const values = inputsOf(edge).flatMap(({ edge: { result } }) => (result === undefined ? [] : [result.value]));
  edge.runTask = scheduler.start(edge, signal => runOf(edge.vertex, values, signal), {
    cleared: () => {
      edge.runTask = undefined;
    },
    done: ran => save(edge, ran),
    failed: error => fail(edge, error),
  });
}

function save<R>(edge: EdgeState<R>, ran: Ran<R>): void {
  const value = ran.results[edge.output];
  if (value === undefined) {
    const made = `it gave ${ran.results.length} results`;
    fail(edge, new VertexError(edge.vertex.vertex, 'run', `output ${edge.output} is missing: ${made}`));
    return;
  }
  const { local } = edge.vertex.caches;
  const keys = edge.vertex.inputs.length === 0 ? edge.rootKeys : [keyOfRun(edge)];
  // Sources are known by what they hold. They make the same again.
  const forced = edge.vertex.vertex.ignoreCache === true && edge.vertex.inputs.length > 0;
  for (const key of keys) {
    const record = saveResult(local, key, value, ran.at, forced);
    if (record !== undefined) key.record = record;
  }
  const id = keys[0]?.ids.get(local.keys);
  settle(edge.vertex, {
    outcome: 'ran',
    cache: local.id,
    ...(id === undefined ? {} : { record: id }),
    createdAt: ran.at,
    ...(edge.vertex.vertex.ignoreCache ? { forced: true } : {}),
    ...(edge.failedRecords.length === 0
      ? {}
      : { unusable: edge.failedRecords.map(({ record, reason }) => ({ cache: record.cache.id, reason })) }),
  });
  // What is above a step that was forced to run must not match through it by definition.
  if (!edge.vertex.vertex.ignoreCache) edge.keys.push(...keys);
  complete(edge, value, keys);
}

function keyOfRun<R>(edge: EdgeState<R>): CacheKey<R> {
  const { map } = edge;
  return {
    digest: map?.digest ?? '',
    output: edge.output,
    inputs: inputsOf(edge).map(input => knownLinks(edge, input)),
    ids: new Map(),
    parts: () => map?.parts ?? [],
    origin: edge.origin,
    records: [],
  };
}

function complete<R>(edge: EdgeState<R>, value: R, keys: readonly CacheKey<R>[]): void {
  edge.result = { value, keys };
  edge.phase = Phase.complete;
}

/** Hands the consumers of an edge over to an equal one, which also exports the keys of both. */
function merge<R>(scheduler: Scheduler<R>, edge: EdgeState<R>, stays: EdgeState<R>): void {
  settle(edge.vertex, { outcome: 'merged', mergedInto: stays.vertex.vertex.digest });
  for (const stream of edge.vertex.builds.keys()) hearOf(stays.vertex, stream);
  for (const input of inputsOf(edge)) {
    const keys = [...input.edge.keys, ...(input.edge.result?.keys ?? [])];
    const known = stays.origin.alternatives[input.index] ?? [];
    stays.origin.alternatives[input.index] = [...known, ...linksOf(edge, input, keys, true)];
  }
  retire(scheduler, edge);
  edge.mergedInto = stays;
  for (const demand of edge.demands) {
    edge.demands.delete(demand);
    demand.target = stays;
    stays.demands.add(demand);
    demand.wake();
  }
  scheduler.wake(stays);
}

/** A build hears of a vertex and of all below it, inputs first. */
function hearOf<R>(vertex: ActiveVertex<R>, stream: VertexStream): void {
  if (vertex.builds.has(stream)) return;
  const vertices = new Set([vertex]);
  for (const { inputs } of vertices) for (const input of inputs) vertices.add(input.vertex);
  for (const one of [...vertices].reverse()) join(one, stream, one.vertex);
}
