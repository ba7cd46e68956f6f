/** An imported cache as the solver looks it up (cache-keys facts: import; remote-cache facts, section 8). */
import type { Cache, ResultSource } from '../solver/cache.ts';
import type { CacheRecordNode, LayerBlob } from '../solver/record-graph.ts';
import { memoryKeyStore } from './memory-key-store.ts';

export interface ImportOptions<R, L extends LayerBlob> {
  /** The identity of the import. */
  readonly id: string;
  readonly records: readonly CacheRecordNode<L>[];
  /** Makes a result of layers, lowest first, without fetching what need not be fetched. */
  readonly result: (layers: readonly L[], signal: AbortSignal) => Promise<R>;
  /** Whether a layer can still be had, as far as a cheap look tells. */
  readonly isAvailable?: (layer: L) => boolean;
}

export interface ImportedCache<R, L extends LayerBlob> extends Cache<R> {
  /** The layers of a result, lowest first, for an export that carries it on; undefined when it is not there. */
  layers(resultId: string): readonly L[] | undefined;
}

/** The cache that holds these records. Looking up takes the same time whatever their number. */
export function importedCache<R, L extends LayerBlob>(options: ImportOptions<R, L>): ImportedCache<R, L> {
  const { id, records, isAvailable = () => true } = options;
  const keys = memoryKeyStore();
  const byKey = new Map<string, CacheRecordNode<L>>();
  const stacks = new Map<string, readonly L[]>();
  // Ids of roots are their digests, others mean nothing outside.
  const ids = new Map<CacheRecordNode<L>, string>();
  for (const [index, record] of records.entries())
    ids.set(record, record.inputs.length > 0 ? String(index) : record.digest);
  const idOf = (record: CacheRecordNode<L>) => ids.get(record) ?? record.digest;
  const stackId = stackIds<L>();

  for (const record of records) {
    const key = idOf(record);
    byKey.set(key, record);
    for (const [input, alternatives] of record.inputs.entries()) {
      for (const below of alternatives) {
        keys.addRecordLink(idOf(below.record), { input, selector: below.selector, record: record.digest }, key);
      }
    }
    for (const result of record.results) {
      const resultId = stackId(result.layers);
      stacks.set(resultId, result.layers);
      keys.addResult(key, { id: resultId, createdAt: result.createdAt });
    }
  }

  function stackOf(resultId: string): readonly L[] {
    const layers = stacks.get(resultId);
    if (layers === undefined) throw new Error(`the cache ${id} has no result ${resultId}`);
    return layers;
  }

  const results: ResultSource<R> = {
    exists: resultId => stacks.get(resultId)?.every(isAvailable) ?? false,
    load: (resultId, signal) => options.result(stackOf(resultId), signal),
    async loadWithParents(resultId, signal) {
      const whole = stackOf(resultId);
      const loaded = new Map<string, R>();
      const below = new Set(keys.keysOf(resultId).flatMap(key => byKey.get(key) ?? []));
      for (const record of below) {
        for (const { layers } of record.results) {
          if (!isLowerPart(layers, whole)) continue;
          loaded.set(idOf(record), await options.result(layers, signal));
        }
        for (const alternatives of record.inputs) for (const input of alternatives) below.add(input.record);
      }
      return loaded;
    },
  };
  return { id, keys, results, layers: resultId => stacks.get(resultId) };
}

/** A stack of layers with those that stand on it. */
interface StackNode<L> {
  readonly id: string;
  readonly above: Map<L, StackNode<L>>;
}

/** Gives equal stacks of layers equal ids, which mean nothing outside. */
function stackIds<L extends LayerBlob>(): (layers: readonly L[]) => string {
  let count = 0;
  const bottom: StackNode<L> = { id: '0', above: new Map() };
  return layers => {
    let node = bottom;
    for (const layer of layers) {
      const next: StackNode<L> = node.above.get(layer) ?? { id: (++count).toString(36), above: new Map() };
      node.above.set(layer, next);
      node = next;
    }
    return node.id;
  };
}

function isLowerPart(part: readonly LayerBlob[], whole: readonly LayerBlob[]): boolean {
  return part.length <= whole.length && part.every((layer, index) => layer.digest === whole[index]?.digest);
}
