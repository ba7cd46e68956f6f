/** Writes a cache of one document with blobs (remote-cache facts, sections 13 and 15). */
import type { CacheRecordNode } from '../../solver/record-graph.ts';
import { cacheConfig } from '../cache-config.ts';
import { layersOf, placedRecords, writing } from './export-content.ts';
import { mergeRecords } from './merge-records.ts';
import { documentCaches, layerAnnotations, type ObjectWriter } from './object-place.ts';
import type { CacheLayer } from './port.ts';
import type { CacheVertex } from './progress.ts';

/**
 * Writes records to a place. Layers that are there are not sent again.
 *
 * @throws RemoteCacheError
 */
export async function exportObjects(
  ours: readonly CacheRecordNode<CacheLayer>[],
  merge: boolean,
  writer: ObjectWriter,
  vertex: CacheVertex,
  signal: AbortSignal,
): Promise<void> {
  const records = merge
    ? mergeRecords(placedRecords(documentCaches(await writer.documents(signal)), writer), ours)
    : ours;
  const layers = layersOf(records);
  const pending = [...layers.values()];
  const work = async () => {
    for (let layer = pending.shift(); layer !== undefined; layer = pending.shift()) {
      const { digest } = layer;
      const show = (write: () => Promise<void>) => vertex.step(`writing layer ${digest}`, write);
      const next = layer;
      await writing('layer', () => writer.putLayer(next, show, signal), signal);
    }
  };
  await Promise.all(Array.from({ length: writer.parallelism }, work));
  const config = cacheConfig(records, blob => {
    const layer = layers.get(blob);
    return layer === undefined ? undefined : layerAnnotations(layer);
  });
  await writing('config', () => writer.putDocument(Buffer.from(JSON.stringify(config)), signal), signal);
}
