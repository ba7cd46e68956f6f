/** From a cache config to records (remote-cache facts, sections 2 and 8). */

import type { CacheRecordNode, LayerBlob, RecordGraph, RecordInput, RecordResult } from '../solver/record-graph.ts';
import { type CacheConfig, CacheConfigError, type ConfigRecord } from './cache-config.ts';
import { parseTimestamp } from './timestamp.ts';

/**
 * Adds the records of a config to a graph.
 *
 * @param blob - what is known of a blob; undefined when the cache has none: results that need it are left out.
 * @throws CacheConfigError when the config does not hold together. The messages are BuildKit's.
 */
export function readRecords<L extends LayerBlob>(
  graph: RecordGraph<L>,
  config: CacheConfig,
  blob: (digest: string) => L | undefined,
): void {
  const { records = [] } = config;
  /** Those of sessions are undefined: nothing may stand on them. */
  const read = new Map<number, CacheRecordNode<L> | undefined>();
  const open = new Set<number>();
  const stack = [...records.keys()].reverse();
  for (let number = stack.at(-1); number !== undefined; number = stack.at(-1)) {
    const record = records[number];
    if (record === undefined) throw new CacheConfigError(`invalid record ID: ${number}`);
    if (read.has(number)) {
      stack.pop();
      continue;
    }
    const below = linksOf(record, number).filter(link => !read.has(link));
    if (below.length === 0) {
      stack.pop();
      open.delete(number);
      read.set(number, addRecord(graph, config, record, number, read, blob));
      continue;
    }
    open.add(number);
    for (const link of below.reverse()) {
      if (open.has(link)) throw new CacheConfigError('invalid looping record');
      stack.push(link);
    }
  }
}

function linksOf({ inputs = [] }: ConfigRecord, number: number): number[] {
  if (inputs.some(alternatives => alternatives.length === 0)) {
    throw new CacheConfigError(`invalid empty input for record ${number}`);
  }
  return inputs.flatMap(alternatives => alternatives.map(({ link }) => link));
}

function addRecord<L extends LayerBlob>(
  graph: RecordGraph<L>,
  config: CacheConfig,
  record: ConfigRecord,
  number: number,
  read: ReadonlyMap<number, CacheRecordNode<L> | undefined>,
  blob: (digest: string) => L | undefined,
): CacheRecordNode<L> | undefined {
  const results = [
    ...(record.layers ?? []).map(({ layer, createdAt }) => resultOf(config, chainOf(config, layer), createdAt, blob)),
    ...(record.chains ?? []).map(({ layers, createdAt }) => resultOf(config, layers, createdAt, blob)),
  ];
  const inputs = (record.inputs ?? []).map(alternatives =>
    alternatives.map(({ link, selector = '' }): RecordInput<L> => {
      const below = read.get(link);
      if (below !== undefined) return { record: below, selector };
      throw new CacheConfigError(`failed to add record ${number}: invalid dependency type <nil> for ${record.digest}`);
    }),
  );
  return graph.add(
    record.digest,
    inputs,
    results.filter(result => result !== undefined),
  );
}

function resultOf<L extends LayerBlob>(
  config: CacheConfig,
  numbers: readonly number[],
  createdAt: string,
  blob: (digest: string) => L | undefined,
): RecordResult<L> | undefined {
  const layers: L[] = [];
  for (const number of numbers) {
    const layer = blob(layerAt(config, number).blob);
    if (layer === undefined) return undefined;
    layers.push(layer);
  }
  return layers.length === 0 ? undefined : { layers, createdAt: parseTimestamp(createdAt) };
}

function layerAt(config: CacheConfig, index: number) {
  const layer = config.layers?.[index];
  if (layer === undefined) throw new CacheConfigError(`invalid layer index ${index}`);
  return layer;
}

/** A layer and those below it, lowest first. */
function chainOf(config: CacheConfig, top: number): number[] {
  const chain = new Set<number>();
  for (let index = top; index !== -1 || chain.size === 0; index = layerAt(config, index).parent ?? 0) {
    layerAt(config, index);
    if (chain.has(index)) throw new CacheConfigError('invalid looping layer');
    chain.add(index);
  }
  return [...chain].reverse();
}
