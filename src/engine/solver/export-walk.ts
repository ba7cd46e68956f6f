/** From the keys of a result to the records of an exported cache (cache-keys: export; remote-cache: which records). */
import type { KeyStore } from './cache.ts';
import { type CacheKey, type CacheRecord, type KeyLink, recordDigest } from './key.ts';
import {
  type CacheRecordNode,
  type LayerBlob,
  type RecordGraph,
  type RecordInput,
  type RecordResult,
  recordGraph,
} from './record-graph.ts';

/** `min`: results of the target, and others whose blobs exist; `max`: all results. */
export type ExportMode = 'min' | 'max';

export interface ExportOptions<R, L extends LayerBlob> {
  readonly mode: ExportMode;
  /**
   * The layers of a result as blobs, lowest first; undefined when there are none. When `make` is false, blobs are not
   * made: a result whose blobs do not all exist has none.
   */
  readonly layers: (record: CacheRecord<R>, make: boolean) => Promise<readonly L[] | undefined>;
  /**
   * Which ways to a key that only its store knows are exported beside those of this build: `all`, as BuildKit does, so
   * that each earlier variant of a step below adds records for ever; or only those from `roots` (the other key of an
   * image, contents of files), which any build can use. `all` unless said.
   */
  readonly ways?: 'all' | 'roots';
}

/** The walk's memory: records by key, and by key of a store. */
interface Walk<R, L extends LayerBlob> {
  readonly options: ExportOptions<R, L>;
  readonly graph: RecordGraph<L>;
  /** Keys being walked have none yet. */
  readonly byKey: Map<CacheKey<R>, readonly CacheRecordNode<L>[]>;
  readonly byId: Map<KeyStore, Map<string, readonly CacheRecordNode<L>[]>>;
}

/** What blobs may be made for. Below a result that was exported in mode `min`, only what exists is taken. */
type Blobs = 'all' | 'target' | 'existing';

/**
 * The records to export for a result that is known by `keys`. Roots and content keys carry no results; keys of
 * sessions are left out, and so are results above an input for which no key is left.
 */
export async function walkForExport<R, L extends LayerBlob>(
  keys: readonly CacheKey<R>[],
  options: ExportOptions<R, L>,
): Promise<readonly CacheRecordNode<L>[]> {
  const walk: Walk<R, L> = { options, graph: recordGraph(), byKey: new Map(), byId: new Map() };
  for (const key of keys) await walkKey(walk, key, options.mode === 'max' ? 'all' : 'target');
  return walk.graph.records();
}

async function walkKey<R, L extends LayerBlob>(
  walk: Walk<R, L>,
  key: CacheKey<R>,
  blobs: Blobs,
): Promise<readonly CacheRecordNode<L>[]> {
  const known = walk.byKey.get(key);
  if (known !== undefined) return known;
  walk.byKey.set(key, []);

  const result = await resultOf(walk, key, blobs);
  const below = result !== undefined && blobs === 'target' ? 'existing' : blobs;
  const inputs: RecordInput<L>[][] = [];
  for (const [index, links] of key.inputs.entries()) {
    const alternatives: readonly KeyLink<R>[] = key.origin?.alternatives[index] ?? [];
    const found: RecordInput<L>[] = [];
    for (const link of [...links, ...alternatives]) {
      for (const record of await walkKey(walk, link.key, below)) found.push({ record, selector: link.selector });
    }
    inputs.push(found);
  }
  for (const [store, id] of key.ids) {
    if (walk.options.ways === 'roots') addRoots(walk, store, id, key, inputs);
    else walkStore(walk, store, id);
  }
  if (inputs.some(alternatives => alternatives.length === 0)) return [];

  if (key.inputs.length === 0 && key.record !== undefined) addTwins(walk, key.record);
  const record = walk.graph.add(recordDigest(key.digest, key.output), inputs, result === undefined ? [] : [result]);
  const records = record === undefined ? [] : [record];
  walk.byKey.set(key, records);
  return records;
}

async function resultOf<R, L extends LayerBlob>(
  walk: Walk<R, L>,
  key: CacheKey<R>,
  blobs: Blobs,
): Promise<RecordResult<L> | undefined> {
  if (key.inputs.length === 0 || key.origin?.exportResults === false) return undefined;
  const records = key.record === undefined ? key.records : [key.record, ...key.records];
  const record = records.find(({ cache, resultId }) => cache.results.exists(resultId));
  if (record === undefined) return undefined;
  const layers = await walk.options.layers(record, blobs !== 'existing');
  return layers === undefined ? undefined : { createdAt: record.createdAt, layers };
}

/** A root's other keys: an image that was found by one of its two keys is exported with both. */
function addTwins<R, L extends LayerBlob>(walk: Walk<R, L>, record: CacheRecord<R>): void {
  const { keys } = record.cache;
  for (const id of keys.keysOf(record.resultId)) {
    if (isRootId(id) && keys.backlinks(id).length === 0) walk.graph.add(id, [], []);
  }
}

/** Adds to the inputs of a key the roots that its store has links from. */
function addRoots<R, L extends LayerBlob>(
  { graph }: Walk<R, L>,
  store: KeyStore,
  id: string,
  key: CacheKey<R>,
  inputs: readonly RecordInput<L>[][],
): void {
  const digest = recordDigest(key.digest, key.output);
  for (const { from, input, selector, record } of store.backlinks(id)) {
    const alternatives = inputs[input];
    if (record !== digest || alternatives === undefined || !isRootId(from) || store.backlinks(from).length > 0)
      continue;
    const root = graph.add(from, [], []);
    const isKnown = alternatives.some(known => known.record === root && known.selector === selector);
    if (root !== undefined && !isKnown) alternatives.push({ record: root, selector });
  }
}

function isRootId(id: string): boolean {
  return id.startsWith('sha256:');
}

/** Adds, without results, every chain of a store that leads to a key. */
function walkStore<R, L extends LayerBlob>(walk: Walk<R, L>, store: KeyStore, start: string): void {
  const known = walk.byId.get(store) ?? new Map<string, readonly CacheRecordNode<L>[]>();
  walk.byId.set(store, known);
  const open = new Set<string>();
  const stack = [start];
  for (let id = stack.at(-1); id !== undefined; id = stack.at(-1)) {
    if (known.has(id)) {
      stack.pop();
      continue;
    }
    const backlinks = store.backlinks(id);
    const below = open.has(id) ? [] : backlinks.filter(({ from }) => !known.has(from) && !open.has(from));
    open.add(id);
    if (below.length > 0) {
      for (const { from } of below) stack.push(from);
      continue;
    }
    stack.pop();
    known.set(id, addChains(walk.graph, id, backlinks, known));
  }
}

function addChains<L extends LayerBlob>(
  graph: RecordGraph<L>,
  id: string,
  backlinks: ReturnType<KeyStore['backlinks']>,
  known: ReadonlyMap<string, readonly CacheRecordNode<L>[]>,
): readonly CacheRecordNode<L>[] {
  if (backlinks.length === 0) {
    const root = isRootId(id) ? graph.add(id, [], []) : undefined;
    return root === undefined ? [] : [root];
  }
  const chains = new Map<string, RecordInput<L>[][]>();
  for (const { from, input, selector, record: digest } of backlinks) {
    const inputs = chains.get(digest) ?? [];
    while (inputs.length <= input) inputs.push([]);
    for (const record of known.get(from) ?? []) inputs[input]?.push({ record, selector });
    chains.set(digest, inputs);
  }
  return [...chains].flatMap(([digest, inputs]) => {
    if (inputs.some(alternatives => alternatives.length === 0)) return [];
    const record = graph.add(digest, inputs, []);
    return record === undefined ? [] : [record];
  });
}
