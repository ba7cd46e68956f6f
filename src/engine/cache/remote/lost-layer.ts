/** Layers of imported caches that turn out to be missing or damaged when their files are needed. */
import { createHash } from 'node:crypto';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { RemoteCacheError } from './content-place.ts';

/**
 * A layer of an imported cache cannot be had. It is not offered again: a build that failed of it can be run anew, and
 * makes the layer itself.
 */
export class CacheLayerError extends RemoteCacheError {
  override readonly name = 'CacheLayerError';
  readonly digest: string;

  constructor(digest: string, message: string, options: ErrorOptions) {
    super(message, options);
    this.digest = digest;
  }
}

/** How often a build is tried again before its failure is shown. */
const mostAttempts = 10;

/**
 * Runs a build, and runs it again when it failed of a layer of an imported cache, which is given up then: the steps that
 * led to it run.
 *
 * @param build - gets what has to be given to `openCacheImports` each time
 */
export async function retryWithoutLostLayers<T>(build: (lost: Set<string>) => Promise<T>): Promise<T> {
  const lost = new Set<string>();
  const failed = new Set<string>();
  for (;;) {
    try {
      return await build(lost);
    } catch (error) {
      const digest = lostLayer(error);
      if (digest === undefined || failed.has(digest) || failed.size === mostAttempts) throw error;
      failed.add(digest);
    }
  }
}

/** The layer that a failure, or what caused it, is about. */
function lostLayer(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof CacheLayerError) return at.digest;
  return undefined;
}

/** Passes on bytes that are what the descriptor says; throws at the end when they are not. */
export async function* checkedBytes(
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const chunk of bytes) {
    count += chunk.length;
    if (count > size) throw new RemoteCacheError(`it is longer than ${size} bytes`);
    hash.update(chunk);
    yield chunk;
  }
  if (count < size) throw new RemoteCacheError(`it ends after ${count} of ${size} bytes`);
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw new RemoteCacheError(`it is damaged: its bytes have the digest ${actual}`);
}
