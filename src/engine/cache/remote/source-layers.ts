/** The layers of one imported cache: nothing is fetched before it is needed, and what is broken is given up. */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type Digest, isDigest } from '../../../wire/oci/digest.ts';
import { createLimiter } from '../../../wire/registry/limiter.ts';
import { type LayerID, type Ref, snapshotRef } from '../../ops/ref.ts';
import type { LazyLayer } from '../../source/layer-port.ts';
import type { ContentReader } from './content-place.ts';
import { CacheLayerError, checkedBytes } from './lost-layer.ts';
import type { CacheImportDeps, CacheLayer } from './port.ts';

/** How many blobs are asked for at once. */
const parallelQuestions = 8;

/** The part of a place that gives layers. */
export type LayerReader = Pick<ContentReader, 'open' | 'mayHave' | 'has'>;

/** Keeps where layers are for later builds. */
export interface LayerMemory {
  remember(blobs: readonly Descriptor[]): void;
  forget(digest: Digest): void;
}

export interface SourceCacheLayers {
  /** What is known of a blob; undefined when the source has none, or does not say what is in it. */
  find(digest: string): CacheLayer | undefined;
  /** A result of these layers, lowest first. @throws RemoteCacheError when one cannot be had. */
  result(layers: readonly CacheLayer[], signal: AbortSignal): Promise<Ref>;
  isAvailable(layer: CacheLayer): boolean;
}

/**
 * The layers that a source has descriptors of.
 *
 * @param source - its identity, for messages
 * @param warn - told once per layer that cannot be had
 * @param memory - told of layers that are in results, and of those that are lost
 */
export function sourceCacheLayers(
  source: string,
  descriptors: Iterable<Descriptor>,
  reader: LayerReader,
  { content, layers, lost = new Set() }: Pick<CacheImportDeps, 'content' | 'layers' | 'lost'>,
  warn: (message: string) => void,
  memory: LayerMemory = { remember() {}, forget() {} },
): SourceCacheLayers {
  const byDigest = new Map<string, CacheLayer>();
  const remembered = new Set<string>();
  const asked = new Map<string, Promise<boolean>>();
  const limiter = createLimiter(parallelQuestions);
  const isHere = ({ digest, size }: Descriptor) => content.has(digest, size);

  for (const descriptor of descriptors) {
    const { digest, annotations } = descriptor;
    const diffId = annotations?.['containerd.io/uncompressed'] ?? '';
    if (byDigest.has(digest) || !isDigest(diffId)) continue;
    const open = (offset: number, signal: AbortSignal) =>
      isHere(descriptor) ? content.read(digest, { start: offset }) : reader.open(descriptor, offset, signal);
    byDigest.set(digest, { digest, descriptor, diffId, open });
  }

  function lose({ digest }: CacheLayer, cause: unknown): CacheLayerError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `layer ${digest} of the cache ${source} cannot be had: ${reason}`;
    if (!lost.has(digest)) warn(`${message}; the steps that need it run again`);
    lost.add(digest);
    layers.withdraw(digest);
    memory.forget(digest);
    return new CacheLayerError(digest, message, { cause });
  }

  /** Asks once whether a blob is there. What the asking itself fails of is not remembered. */
  async function confirm(layer: CacheLayer, signal: AbortSignal): Promise<void> {
    const { descriptor, digest } = layer;
    if (isHere(descriptor)) return;
    const ask = async () => {
      using _ = await limiter.enter(signal);
      return reader.has(descriptor, signal);
    };
    const answer = asked.get(digest) ?? ask();
    asked.set(digest, answer);
    let isThere: boolean;
    try {
      isThere = await answer;
    } catch (error) {
      asked.delete(digest);
      signal.throwIfAborted();
      throw lose(layer, error);
    }
    if (!isThere) throw lose(layer, 'not found');
  }

  async function* fetch(layer: CacheLayer, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* checkedBytes(layer.descriptor, layer.open(0, signal));
    } catch (error) {
      signal.throwIfAborted();
      throw lose(layer, error);
    }
  }

  return {
    find: digest => byDigest.get(digest),
    isAvailable(layer) {
      if (lost.has(layer.digest)) return false;
      if (isHere(layer.descriptor) || reader.mayHave(layer.descriptor)) return true;
      lose(layer, 'not found');
      return false;
    },
    async result(stack, signal) {
      await Promise.all(stack.map(layer => confirm(layer, signal)));
      const fresh = stack.filter(layer => !remembered.has(layer.digest) && remembered.add(layer.digest));
      if (fresh.length > 0) memory.remember(fresh.map(layer => layer.descriptor));
      const lazy = stack.map(
        (layer): LazyLayer => ({
          descriptor: layer.descriptor,
          diffId: layer.diffId,
          fetch: inner => fetch(layer, inner),
        }),
      );
      const ids: LayerID[] = [];
      for (const layer of lazy) ids.push(layers.addLazy(layer, [...ids]));
      return snapshotRef(ids);
    },
  };
}
