/** A place that keeps caches as manifests with blobs: a repository of a registry, or a directory. */
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import type { Digest } from '../../../wire/oci/digest.ts';
import type { CacheLayer } from './port.ts';

/** A cache that cannot be read or written. The message is one line. */
export class RemoteCacheError extends Error {
  override readonly name: string = 'RemoteCacheError';
}

/** There is no cache under the name. */
export class CacheNotFoundError extends RemoteCacheError {
  override readonly name = 'CacheNotFoundError';
}

/** Manifests and configs that are larger, in bytes, are refused by every reader of BuildKit's. */
export const documentLimit = 1 << 20;

/** @throws RemoteCacheError when a manifest or config is too large to be read. */
export function checkDocumentSize({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): void {
  if (size > documentLimit) {
    throw new RemoteCacheError(`blob ${digest} is too large (${size} > ${documentLimit})`);
  }
}

export interface ContentReader {
  /**
   * What the tag names now.
   *
   * @throws CacheNotFoundError when it names nothing.
   */
  resolve(signal: AbortSignal): Promise<Descriptor>;
  /** A manifest, verified. */
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  /** A small blob, verified. */
  document(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  /** Opens a blob's bytes, which are not verified. */
  open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** A cheap look whether a blob can be had; true where only asking would tell. */
  mayHave(blob: Descriptor): boolean;
  /** Whether a blob can be had, asked for if need be. */
  has(blob: Descriptor, signal: AbortSignal): Promise<boolean>;
}

export interface ContentWriter extends ContentReader {
  /** Brings a layer's blob there unless it is there. */
  putLayer(layer: CacheLayer, signal: AbortSignal): Promise<void>;
  putDocument(descriptor: Descriptor, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /**
   * Makes the tag name this manifest. Returns false, with nothing changed, when the tag names neither `before` nor this
   * manifest any more: another export came in between.
   *
   * @param before - what the tag named before; undefined for nothing, `whatever` when it may be overwritten.
   */
  publish(
    manifest: Descriptor,
    bytes: Uint8Array,
    before: Digest | 'whatever' | undefined,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** Deletes what no tag reaches. */
  sweep(signal: AbortSignal): Promise<void>;
}

/** Bytes from an offset on. */
export async function* skipBytes(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of bytes) {
    if (chunk.length > left) yield left === 0 ? chunk : chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}
