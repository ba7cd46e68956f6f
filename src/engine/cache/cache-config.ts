/** `cacheconfig.v0`, the JSON that describes an exported cache (remote-cache facts, sections 2 and 7). */
import { type CacheRecordNode, type LayerBlob, newestResult } from '../solver/record-graph.ts';
import { formatTimestamp } from '../status/timestamp.ts';

/** Media type of the config blob. */
export const cacheConfigMediaType = 'application/vnd.buildkit.cacheconfig.v0';

/** A cache config that is none, or does not hold together. The messages are BuildKit's. */
export class CacheConfigError extends Error {
  override readonly name = 'CacheConfigError';
}

/** What object stores, which have no manifest, say of a layer. */
export interface LayerAnnotations {
  readonly mediaType?: string;
  readonly diffID?: string;
  readonly size?: number;
  readonly createdAt: string;
}

export interface ConfigLayer {
  readonly blob: string;
  /** Index of the layer below, -1 for none. Absent means 0. */
  readonly parent?: number;
  readonly annotations?: LayerAnnotations;
}

export interface ConfigInput {
  readonly selector?: string;
  readonly link: number;
}

export interface ConfigRecord {
  readonly layers?: readonly { readonly layer: number; readonly createdAt: string }[];
  readonly chains?: readonly { readonly layers: readonly number[]; readonly createdAt: string }[];
  readonly digest: string;
  readonly inputs?: readonly (readonly ConfigInput[])[];
}

export interface CacheConfig {
  readonly layers?: readonly ConfigLayer[];
  readonly records?: readonly ConfigRecord[];
}

interface Layer {
  readonly blob: string;
  readonly parent: Layer | undefined;
  /** Place in order of appearance; the order of equal blobs. */
  readonly index: number;
}

/**
 * Records as the config has them, sorted so that equal graphs give equal bytes. Write it with `JSON.stringify`; the
 * order of members is BuildKit's.
 *
 * @param annotations - what to say of a layer, where there is no manifest that does.
 */
export function cacheConfig<L extends LayerBlob>(
  records: readonly CacheRecordNode<L>[],
  annotations?: (blob: string) => LayerAnnotations | undefined,
): CacheConfig {
  const layers = new Map<string, Layer>();
  const results = new Map<CacheRecordNode<L>, { readonly layer: Layer; readonly createdAt: string }>();
  for (const record of records) {
    const result = newestResult(record);
    const layer = result === undefined ? undefined : addStack(layers, result.layers);
    if (result === undefined || layer === undefined) continue;
    results.set(record, { layer, createdAt: formatTimestamp(result.createdAt) });
  }
  const sortedLayers = [...layers.values()].sort(
    (a, b) => compare(a.blob, b.blob) || (a.parent?.index ?? -1) - (b.parent?.index ?? -1),
  );
  const layerNumber = new Map(sortedLayers.map((layer, index) => [layer, index]));
  const sortedRecords = records.toSorted(compareRecords);
  const recordNumber = new Map(sortedRecords.map((record, index) => [record, index]));

  const configRecords = sortedRecords.map((record): ConfigRecord => {
    const result = results.get(record);
    const inputs = record.inputs.map(alternatives =>
      alternatives
        .map(input => ({
          ...(input.selector === '' ? {} : { selector: input.selector }),
          link: recordNumber.get(input.record) ?? 0,
        }))
        .sort((a, b) => a.link - b.link || compare(a.selector ?? '', b.selector ?? '')),
    );
    return {
      ...(result === undefined
        ? {}
        : { layers: [{ layer: layerNumber.get(result.layer) ?? 0, createdAt: result.createdAt }] }),
      digest: record.digest,
      ...(inputs.length === 0 ? {} : { inputs }),
    };
  });
  const configLayers = sortedLayers.map(({ blob, parent }): ConfigLayer => {
    const number = parent === undefined ? -1 : (layerNumber.get(parent) ?? 0);
    const said = annotations?.(blob);
    return {
      blob,
      ...(number === 0 ? {} : { parent: number }),
      ...(said === undefined ? {} : { annotations: said }),
    };
  });
  return {
    ...(configLayers.length === 0 ? {} : { layers: configLayers }),
    ...(configRecords.length === 0 ? {} : { records: configRecords }),
  };
}

function addStack(layers: Map<string, Layer>, stack: readonly LayerBlob[]): Layer | undefined {
  let below: Layer | undefined;
  let id = '';
  for (const { digest } of stack) {
    id = digest + id;
    const known: Layer = layers.get(id) ?? { blob: digest, parent: below, index: layers.size };
    layers.set(id, known);
    below = known;
  }
  return below;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareRecords<L extends LayerBlob>(a: CacheRecordNode<L>, b: CacheRecordNode<L>): number {
  const order = compare(a.digest, b.digest) || a.inputs.length - b.inputs.length;
  if (order !== 0) return order;
  for (const [index, ours] of a.inputs.entries()) {
    const theirs = b.inputs[index] ?? [];
    if (ours.length !== theirs.length) return ours.length - theirs.length;
    const names = sortedNames(ours);
    for (const [at, name] of sortedNames(theirs).entries()) {
      const difference = compare(names[at] ?? '', name);
      if (difference !== 0) return difference;
    }
  }
  return 0;
}

function sortedNames(inputs: CacheRecordNode<LayerBlob>['inputs'][number]): string[] {
  return inputs.map(({ record, selector }) => `${selector} ${record.digest}`).sort(compare);
}
