/** An imported cache as the solver looks it up (cache-keys facts: import; remote-cache facts, section 8). */
import { digestOf } from '../../wire/oci/digest.ts';
import type { Cache, ResultSource, StoredResult } from '../solver/cache.ts';
import {
  type CacheRecordNode,
  type LayerBlob,
  type RecordInput,
  type RecordResult,
  recordGraph,
} from '../solver/record-graph.ts';
import type { Timestamp } from '../status/event.ts';
import type { CacheConfig, ConfigRecord } from './cache-config.ts';
import { memoryKeyStore } from './memory-key-store.ts';

/** A cache config that does not hold together. The messages are BuildKit's. */
export class CacheConfigError extends Error {
  override readonly name = 'CacheConfigError';
}

export interface ImportOptions<R, L extends LayerBlob> {
  /** The identity of the import. */
  readonly id: string;
  readonly config: CacheConfig;
  /** What is known of a blob; undefined when it is not in the cache: results that need it are dropped. */
  readonly blob: (digest: string) => L | undefined;
  /** Makes a result of layers, lowest first, without fetching what need not be fetched. */
  readonly result: (layers: readonly L[], signal: AbortSignal) => Promise<R>;
}

export interface ImportedCache<R, L extends LayerBlob> extends Cache<R> {
  /** The layers of a result, lowest first, for an export that carries it on; undefined when it is not there. */
  layers(resultId: string): readonly L[] | undefined;
}

/**
 * The cache that a config describes.
 *
 * @throws CacheConfigError when the config is malformed.
 */
export function importedCache<R, L extends LayerBlob>(options: ImportOptions<R, L>): ImportedCache<R, L> {
  const { id, config } = options;
  const records = readRecords(config, options.blob);
  const keys = memoryKeyStore();
  const ids = new Map<CacheRecordNode<L>, string>();
  const byKey = new Map<string, CacheRecordNode<L>>();
  const stacks = new Map<string, readonly L[]>();

  for (const record of records) {
    const key = keyId(record, ids);
    ids.set(record, key);
    byKey.set(key, record);
    for (const [input, alternatives] of record.inputs.entries()) {
      for (const below of alternatives) {
        const link = { input, selector: below.selector, record: record.digest };
        keys.addRecordLink(keyId(below.record, ids), link, key);
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
    exists: resultId => stacks.has(resultId),
    load: (resultId, signal) => options.result(stackOf(resultId), signal),
    async loadWithParents(resultId, signal) {
      const whole = stackOf(resultId);
      const loaded = new Map<string, R>();
      const below = new Set(keys.keysOf(resultId).flatMap(key => byKey.get(key) ?? []));
      for (const record of below) {
        for (const { layers } of record.results) {
          if (!isLowerPart(layers, whole)) continue;
          loaded.set(keyId(record, ids), await options.result(layers, signal));
        }
        for (const alternatives of record.inputs) for (const input of alternatives) below.add(input.record);
      }
      return loaded;
    },
  };
  return { id, keys, results, layers: resultId => stacks.get(resultId) };
}

/** An id that means nothing outside, and is the same for the same record. */
function keyId<L extends LayerBlob>(record: CacheRecordNode<L>, ids: Map<CacheRecordNode<L>, string>): string {
  const known = ids.get(record);
  if (known !== undefined) return known;
  if (record.inputs.length === 0) return record.digest;
  const inputs = record.inputs.map(alternatives =>
    alternatives.map(({ record: below, selector }) => `${keyId(below, ids)} ${selector}`).sort(),
  );
  const id = digestOf(JSON.stringify([record.digest, inputs])).slice('sha256:'.length, 'sha256:'.length + 16);
  ids.set(record, id);
  return id;
}

function storedResult<L extends LayerBlob>(result: RecordResult<L>): StoredResult {
  return { id: digestOf(result.layers.map(layer => layer.digest).join('')), createdAt: result.createdAt };
}

function isLowerPart(part: readonly LayerBlob[], whole: readonly LayerBlob[]): boolean {
  return part.length <= whole.length && part.every((layer, index) => layer.digest === whole[index]?.digest);
}

const timestamp = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

/** Nanoseconds since the epoch of an RFC 3339 time. */
function parseTimestamp(text: string): Timestamp {
  const [, seconds, decimals = '', zone] = timestamp.exec(text) ?? [];
  const milliseconds = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(milliseconds)) throw new CacheConfigError(`parsing time ${JSON.stringify(text)}`);
  return BigInt(milliseconds) * 1_000_000n + BigInt(decimals.slice(0, 9).padEnd(9, '0'));
}

/** The records of a config, those below before those above. */
function readRecords<L extends LayerBlob>(
  config: CacheConfig,
  blob: (digest: string) => L | undefined,
): readonly CacheRecordNode<L>[] {
  const graph = recordGraph<L>();
  const { records = [] } = config;
  const read = new Map<number, CacheRecordNode<L>>();
  const open = new Set<number>();
  const stack = [...records.keys()].reverse();
  for (let number = stack.at(-1); number !== undefined; number = stack.at(-1)) {
    const record = records[number];
    if (record === undefined) throw new CacheConfigError(`invalid record ID: ${number}`);
    const below = (record.inputs ?? []).flat().filter(input => !read.has(input.link));
    if (read.has(number) || below.length === 0) {
      stack.pop();
      open.delete(number);
      if (!read.has(number)) read.set(number, addRecord(graph, config, record, number, read, blob));
      continue;
    }
    open.add(number);
    for (const { link } of below) {
      if (open.has(link)) throw new CacheConfigError('invalid looping record');
      stack.push(link);
    }
  }
  return graph.records();
}

function addRecord<L extends LayerBlob>(
  graph: ReturnType<typeof recordGraph<L>>,
  config: CacheConfig,
  record: ConfigRecord,
  number: number,
  read: ReadonlyMap<number, CacheRecordNode<L>>,
  blob: (digest: string) => L | undefined,
): CacheRecordNode<L> {
  const inputs = (record.inputs ?? []).map(alternatives => {
    if (alternatives.length === 0) throw new CacheConfigError(`invalid empty input for record ${number}`);
    return alternatives.flatMap(({ link, selector = '' }): RecordInput<L>[] => {
      const below = read.get(link);
      return below === undefined ? [] : [{ record: below, selector }];
    });
  });
  const results = [
    ...(record.layers ?? []).map(({ layer, createdAt }) => ({ numbers: chainOf(config, layer), createdAt })),
    ...(record.chains ?? []).map(({ layers, createdAt }) => ({ numbers: layers, createdAt })),
  ].flatMap(({ numbers, createdAt }): RecordResult<L>[] => {
    const layers = numbers.map(index => blob(layerAt(config, index).blob));
    const whole = layers.filter(layer => layer !== undefined);
    return whole.length < layers.length ? [] : [{ layers: whole, createdAt: parseTimestamp(createdAt) }];
  });
  const added = graph.add(record.digest, inputs, results);
  if (added === undefined) throw new CacheConfigError(`failed to add record ${number}: invalid key ${record.digest}`);
  return added;
}

function layerAt(config: CacheConfig, index: number) {
  const layer = config.layers?.[index];
  if (layer === undefined) throw new CacheConfigError(`invalid layer index ${index}`);
  return layer;
}

/** A layer and those below it, lowest first. */
function chainOf(config: CacheConfig, top: number): number[] {
  const chain: number[] = [];
  for (let index = top; index !== -1; index = layerAt(config, index).parent ?? 0) {
    if (chain.includes(index)) throw new CacheConfigError('invalid looping layer');
    layerAt(config, index);
    chain.push(index);
  }
  return chain.reverse();
}
