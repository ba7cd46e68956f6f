/** What an edge learns from its inputs: candidates, matches, and so its own phase. */
import { depOf, type EdgeState, edgeOf, type InputState, inputsOf, knownLinks, linksOf, Phase } from './edge.ts';
import { messageOf } from './errors.ts';
import { type CacheKey, type CacheRecord, contentOutput, type KeyLink, rootKey } from './key.ts';
import { findRecords, findRoot, findTargets, linkToSameContent } from './lookup.ts';
import type { ContentKey } from './op.ts';

function isSame<R>(a: CacheRecord<R>, b: CacheRecord<R>): boolean {
  return a.cache === b.cache && a.resultId === b.resultId;
}

/** Records whose loading failed are not tried again. */
export function giveUpRecord<R>(edge: EdgeState<R>, record: CacheRecord<R>, error: unknown): void {
  edge.failedRecords.push({ record, reason: messageOf(error) });
  edge.records = edge.records.filter(other => !isSame(other, record));
}

/** Takes in a root's next key. */
export function learnRoot<R>(edge: EdgeState<R>): void {
  const { map } = edge;
  if (map === undefined) return;
  const key = rootKey(map.digest, edge.output, () => map.parts, edge.origin);
  edge.rootKeys.push(key);
  if (edge.vertex.vertex.ignoreCache) return;
  const caches = edge.vertex.caches;
  const ids = findRoot(caches, map.digest, edge.output);
  if (ids.size === 0) return;
  found(edge, { ...key, ids });
}

/** Takes in a key that the edge has in some cache, with the results under it. */
function found<R>(edge: EdgeState<R>, key: CacheKey<R>): void {
  key.records = findRecords(edge.vertex.caches, key);
  edge.keys.push(key);
  if (key.records.length === 0) return;
  const known = [...edge.records, ...edge.failedRecords.map(({ record }) => record)];
  edge.records = [...edge.records, ...key.records.filter(record => !known.some(other => isSame(other, record)))];
}

/** Brings what the edge knows of its inputs up to date. An input's failure is the edge's. */
export function observeInputs<R>(edge: EdgeState<R>): void {
  for (const input of inputsOf(edge)) {
    const from = edgeOf(input.vertex, input.output);
    if (from !== input.edge) {
      input.edge = from;
      input.probed = 0;
      edge.keysChanged = true;
    }
    if (from.error !== undefined) {
      edge.error ??= from.error;
      return;
    }
    if (input.phase !== from.phase && from.phase === Phase.complete) edge.keysChanged = true;
    input.phase = from.phase;
    if (edge.map !== undefined && from.keys.length > input.probed) {
      const links = linksOf(edge, input, from.keys.slice(input.probed), false);
      input.probed = from.keys.length;
      edge.keysChanged = true;
      probe(edge, input, links);
    }
  }
}

/** Notes the content digest of an input, and looks it up. */
export function learnContent<R>(edge: EdgeState<R>, input: InputState<R>, content: ContentKey | undefined): void {
  input.contentDone = true;
  edge.keysChanged = true;
  if (content === undefined || edge.map === undefined) return;
  input.contentKey = rootKey(content.digest, contentOutput, () => content.parts);
  probe(edge, input, [{ key: input.contentKey, selector: '' }]);
  linkToSameContent(edge.vertex.caches, knownLinks(edge, input), input.contentKey, {
    input: input.index,
    digest: edge.map.digest,
    output: edge.output,
  });
}

function probe<R>(edge: EdgeState<R>, input: InputState<R>, links: readonly KeyLink<R>[]): void {
  if (edge.map === undefined || edge.vertex.vertex.ignoreCache) return;
  const step = { digest: edge.map.digest, output: edge.output };
  findTargets(edge.vertex.caches, links, input.index, step, input.candidates);
}

/** Makes keys of the ids that are candidates of every input. */
export function matchKeys<R>(edge: EdgeState<R>): void {
  const { map } = edge;
  const [first, ...others] = inputsOf(edge);
  if (map === undefined || first === undefined) return;
  for (const [id, ids] of first.candidates) {
    if (edge.matched.includes(id) || !others.every(({ candidates }) => candidates.has(id))) continue;
    edge.matched.push(id);
    const inputs = inputsOf(edge).map(input => knownLinks(edge, input));
    found(edge, {
      digest: map.digest,
      output: edge.output,
      inputs,
      ids: new Map(ids),
      parts: () => map.parts,
      origin: edge.origin,
      records: [],
    });
  }
}

/** The content digest of an input could still be computed, or is being computed. */
export function contentPending<R>(edge: EdgeState<R>, input: InputState<R>): boolean {
  return depOf(edge, input)?.contentDigest !== undefined && input.phase >= Phase.slow && !input.contentDone;
}

/** The input is not ready to be used, although it may have a result. */
export function preparationPending<R>(edge: EdgeState<R>, input: InputState<R>): boolean {
  const dep = depOf(edge, input);
  return (dep?.contentDigest ?? dep?.preprocess) !== undefined && input.phase >= Phase.slow && !input.contentDone;
}

/** Whether an input leads to no key and no way to one is left. */
export function cannotMatch<R>(edge: EdgeState<R>, input: InputState<R>): boolean {
  if (edge.map === undefined || input.candidates.size > 0) return false;
  return depOf(edge, input)?.contentDigest === undefined ? input.phase >= Phase.slow : input.contentDone;
}

/** The phase of an edge that has no result, from what it knows of its inputs. */
export function phaseOf<R>(edge: EdgeState<R>): Phase {
  if (edge.map === undefined || (!edge.mapDone && edge.keys.length === 0)) return Phase.initial;
  const inputs = inputsOf(edge);
  // Without a candidate for one input no key can come, however little the others have said.
  let phase = edge.phase;
  let settled: Phase = Phase.slow;
  for (const input of inputs) {
    if (input.candidates.size === 0 && !preparationPending(edge, input)) phase = latest(phase, input.phase);
    const known = contentPending(edge, input) ? Phase.fast : input.phase;
    if (known < settled) settled = known;
  }
  phase = latest(phase, settled);
  return phase === Phase.fast && definitionsExhausted(edge, inputs) ? Phase.slow : phase;
}

/** The later of two phases, but not later than `slow`. */
function latest(a: Phase, b: Phase): Phase {
  if (a >= Phase.slow || b >= Phase.slow) return Phase.slow;
  return a === Phase.fast || b === Phase.fast ? Phase.fast : Phase.initial;
}

/**
 * Whether an edge that has a result to load cannot get a further key by definition. Its consumers then need not wait
 * for content digests that it will not compute.
 */
function definitionsExhausted<R>(edge: EdgeState<R>, inputs: readonly InputState<R>[]): boolean {
  if (edge.records.length === 0 || !edge.mapDone) return false;
  if (!inputs.every(input => input.phase >= Phase.slow || input.candidates.size > 0)) return false;
  const settled = inputs.filter(input => !contentPending(edge, input));
  const [first, ...others] = settled;
  if (first === undefined) return false;
  return ![...first.candidates.keys()].some(
    id => !edge.matched.includes(id) && others.every(({ candidates }) => candidates.has(id)),
  );
}
