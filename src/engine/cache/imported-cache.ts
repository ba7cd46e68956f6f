/** An imported cache as the solver looks it up (cache-keys facts: import; remote-cache facts, section 8). */
import { digestOf } from '../../wire/oci/digest.ts';
import type { Cache, ResultSource, StoredResult } from '../solver/cache.ts';
import type { CacheRecordNode, LayerBlob, RecordResult } from '../solver/record-graph.ts';
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
  const ids = keyIds(records);
  const idOf = (record: CacheRecordNode<L>) => ids.get(record) ?? record.digest;

  for (const record of records) {
    const key = idOf(record);
    byKey.set(key, record);
    for (const [input, alternatives] of record.inputs.entries()) {
      for (const below of alternatives) {
        keys.addRecordLink(idOf(below.record), { input, selector: below.selector, record: record.digest }, key);
      }
    }
    for (const result of record.results) {
      const stored = storedResult(result);
      stacks.set(stored.id, result.layers);
      keys.addResult(key, stored);
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

/** Ids that mean nothing outside, and are the same for the same record. Chains are long, so the walk down is a loop. */
function keyIds<L extends LayerBlob>(records: readonly CacheRecordNode<L>[]): Map<CacheRecordNode<L>, string> {
  const ids = new Map<CacheRecordNode<L>, string>();
  const stack = [...records].reverse();
  for (let record = stack.at(-1); record !== undefined; record = stack.at(-1)) {
    const below = ids.has(record) ? [] : record.inputs.flat().filter(input => !ids.has(input.record));
    if (below.length > 0) {
      for (const input of below) stack.push(input.record);
      continue;
    }
    stack.pop();
    if (!ids.has(record)) ids.set(record, keyId(record, ids));
  }
  return ids;
}

function keyId<L extends LayerBlob>(
  { digest, inputs }: CacheRecordNode<L>,
  ids: ReadonlyMap<CacheRecordNode<L>, string>,
): string {
  if (inputs.length === 0) return digest;
  const names = inputs.map(alternatives =>
    alternatives.map(({ record, selector }) => `${ids.get(record)} ${selector}`).sort(),
  );
  return digestOf(JSON.stringify([digest, names])).slice('sha256:'.length, 'sha256:'.length + 16);
}

function storedResult<L extends LayerBlob>(result: RecordResult<L>): StoredResult {
  return { id: digestOf(result.layers.map(layer => layer.digest).join('')), createdAt: result.createdAt };
}

function isLowerPart(part: readonly LayerBlob[], whole: readonly LayerBlob[]): boolean {
  return part.length <= whole.length && part.every((layer, index) => layer.digest === whole[index]?.digest);
}
