/** Records that travel inside an image's config (remote-cache facts, section 9). */
import type { LayerBlob } from '../../exporter/result.ts';
import type { Ref, SnapshotRef } from '../../ops/ref.ts';
import { walkForExport } from '../../solver/export-walk.ts';
import type { CacheKey } from '../../solver/key.ts';
import type { CacheRecordNode } from '../../solver/record-graph.ts';
import { type CacheConfig, type ConfigRecord, cacheConfig } from '../cache-config.ts';
import { importedCacheOf } from './import.ts';
import type { CacheExportDeps } from './port.ts';

/** The time that Go writes where there is none. */
const zeroTime = '0001-01-01T00:00:00Z';
/** On layers of an image whose files have other times than those of the steps' results. */
const rewritten = 'buildkit/rewritten-timestamp';

/** A layer as the image has it, known by its diffID. */
interface ImageLayer {
  readonly digest: string;
}

/**
 * The records for an image, as JSON: those whose results are made of the image's layers have results, the others only
 * keys.
 *
 * @param ref - the image's files
 * @param layers - its layers as blobs, bottom first
 * @returns undefined when no result is left.
 */
export async function inlineRecords(
  keys: readonly CacheKey<Ref>[],
  ref: SnapshotRef,
  layers: readonly LayerBlob[],
  deps: Pick<CacheExportDeps, 'layerBlobs'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const diffIds = new Set<string>(layers.map(layer => layer.diffID));
  const byId = new Map<string, string>();
  const own = layers.some(layer => layer.descriptor.annotations?.[rewritten] !== undefined)
    ? await unchangedDiffIds(ref, deps, signal)
    : layers.map(layer => layer.diffID);
  for (const [index, id] of ref.layers.entries()) byId.set(id, own[index] ?? '');

  const records = await walkForExport<Ref, ImageLayer>(keys, {
    mode: 'max',
    ways: 'roots',
    async layers({ cache, resultId }) {
      const imported = importedCacheOf(cache);
      const found =
        imported === undefined
          ? (await snapshotLayers(cache.results.load(resultId, signal), signal))?.map(id => byId.get(id) ?? '')
          : imported.layers(resultId)?.map(layer => layer.diffId);
      return found?.every(diffId => diffIds.has(diffId)) === true ? found.map(digest => ({ digest })) : undefined;
    },
  });
  return inlineJson(
    records,
    layers.map(layer => layer.diffID),
  );
}

async function unchangedDiffIds(
  ref: SnapshotRef,
  { layerBlobs }: Pick<CacheExportDeps, 'layerBlobs'>,
  signal: AbortSignal,
): Promise<string[]> {
  const compression = { type: 'uncompressed', force: false } as const;
  const blobs = await layerBlobs.blobs(ref, { compression, baseDiffIDs: [], preferNondistributable: false }, signal);
  return blobs.map(blob => blob.diffID);
}

async function snapshotLayers(loading: Promise<Ref>, signal: AbortSignal): Promise<readonly string[] | undefined> {
  try {
    const ref = await loading;
    return ref.kind === 'snapshot' ? ref.layers : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/**
 * Records with results as positions in an image's list of layers. A result that the image begins with is named by its top
 * layer, any other by all its layers, and loses its time.
 *
 * @param image - diffIDs of the image, bottom first, by which the layers of results are known
 * @returns undefined when there is no result.
 */
export function inlineJson(
  records: readonly CacheRecordNode<ImageLayer>[],
  image: readonly string[],
): string | undefined {
  const config = cacheConfig(records);
  if (config.layers === undefined) return undefined;
  const position = new Map(image.map((diffId, index) => [diffId, index]));
  return JSON.stringify(config.records?.map(record => positioned(record, config, image, position)));
}

function positioned(
  { layers = [], digest, inputs }: ConfigRecord,
  config: CacheConfig,
  image: readonly string[],
  position: ReadonlyMap<string, number>,
): ConfigRecord {
  const rest = { digest, ...(inputs === undefined ? {} : { inputs }) };
  const [result] = layers;
  if (result === undefined) return rest;
  const stack = stackOf(config, result.layer);
  if (stack.every((blob, index) => blob === image[index])) {
    return { layers: [{ layer: stack.length - 1, createdAt: result.createdAt }], ...rest };
  }
  return { chains: [{ layers: stack.map(blob => position.get(blob) ?? 0), createdAt: zeroTime }], ...rest };
}

/** The blobs of a layer and those below it, lowest first. */
function stackOf({ layers = [] }: CacheConfig, top: number): string[] {
  const stack: string[] = [];
  for (let index = top; index !== -1; index = layers[index]?.parent ?? 0) stack.unshift(layers[index]?.blob ?? '');
  return stack;
}
