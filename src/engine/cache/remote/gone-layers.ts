/** Exports of records whose layers turn out to be gone from the cache that they came from. */
import { BlobMissingError, errorCode } from '../../../store/content/store-error.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { hasCode } from '../../../wire/grpc/status.ts';
import { isNotFound } from '../../../wire/registry/registry-error.ts';
import type { CacheRecordNode } from '../../solver/record-graph.ts';
import { CacheNotFoundError } from './content-place.ts';
import type { CacheLayer } from './port.ts';

type Records = readonly CacheRecordNode<CacheLayer>[];

/**
 * Writes records, and writes them again without the results whose layers are gone from where they were imported from: the
 * build did without them, so its cache can.
 *
 * @param write - gets the records that can be written
 * @param warn - told of each layer that is gone
 * @throws what `write` throws of anything else
 */
export async function exportWithoutGone<T>(
  records: Records,
  write: (records: Records) => Promise<T>,
  warn: (message: string) => void,
  signal: AbortSignal,
): Promise<T> {
  const gone = new Set<string>();
  const watch = (layer: CacheLayer): CacheLayer => ({
    ...layer,
    async *open(offset, inner) {
      try {
        yield* layer.open(offset, inner);
      } catch (error) {
        if (isGone(error) && !gone.has(layer.digest)) {
          gone.add(layer.digest);
          warn(`layer ${layer.digest} cannot be had, so steps that need it are exported without their results`);
        }
        throw error;
      }
    },
  });
  for (;;) {
    const before = gone.size;
    try {
      return await write(watchedRecords(records, gone, watch));
    } catch (error) {
      signal.throwIfAborted();
      if (gone.size === before) throw error;
    }
  }
}

/** The same records, without results that need what is gone. */
function watchedRecords(
  records: Records,
  gone: ReadonlySet<string>,
  watch: (layer: CacheLayer) => CacheLayer,
): Records {
  const layers = new Map<CacheLayer, CacheLayer>();
  const watched = (layer: CacheLayer): CacheLayer => {
    const known = layers.get(layer) ?? watch(layer);
    layers.set(layer, known);
    return known;
  };
  const copies = new Map(
    records.map((record): [CacheRecordNode<CacheLayer>, CacheRecordNode<CacheLayer>] => {
      const results = record.results
        .filter(result => result.layers.every(({ digest }) => !gone.has(digest)))
        .map(result => ({ ...result, layers: result.layers.map(watched) }));
      return [record, { digest: record.digest, inputs: [], results }];
    }),
  );
  for (const [record, copy] of copies) {
    for (const alternatives of record.inputs) {
      copy.inputs.push(
        alternatives.flatMap(({ record: below, selector }) => {
          const known = copies.get(below);
          return known === undefined ? [] : [{ record: known, selector }];
        }),
      );
    }
  }
  return [...copies.values()];
}

/** Whether a failure says that there is no such thing, rather than that it cannot be reached. */
function isGone(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (isNotFound(at) || at instanceof CacheNotFoundError || at instanceof BlobMissingError) return true;
    if (hasCode(at, Code.notFound) || errorCode(at) === 'ENOENT') return true;
  }
  return false;
}
