/** A cache in a registry (remote-cache facts, section 12). */
import { formatReference, type Reference } from '../../../wire/oci/reference.ts';
import type { RegistryClient } from '../../../wire/registry/client.ts';
import { isNotFound } from '../../../wire/registry/registry-error.ts';
import {
  CacheNotFoundError,
  type ContentReader,
  type ContentWriter,
  RemoteCacheError,
  skipBytes,
} from './content-place.ts';

/** Reads the cache that a reference names. */
export function registryReader(registry: RegistryClient, reference: Reference): ContentReader {
  return {
    async resolve(signal) {
      try {
        return await registry.resolve(reference, signal);
      } catch (cause) {
        if (signal.aborted) throw cause;
        if (isNotFound(cause)) throw new CacheNotFoundError(`${formatReference(reference)}: not found`, { cause });
        throw new RemoteCacheError(messageOf(cause), { cause });
      }
    },
    manifest: (descriptor, signal) => registry.manifest(reference, descriptor, signal),
    document: (descriptor, signal) => registry.blobBytes(reference, descriptor, signal),
    open: (blob, offset, signal) => skipBytes(registry.blob(reference, blob, { verify: false }, signal), offset),
    mayHave: () => true,
    has: (blob, signal) => registry.hasBlob(reference, blob.digest, signal),
  };
}

/**
 * Writes the cache that a reference names.
 *
 * @param repositoryOf - the repository that a blob is known to be in, for mounting it instead of uploading.
 */
export function registryWriter(
  registry: RegistryClient,
  reference: Reference,
  repositoryOf: (digest: string) => string | undefined,
): ContentWriter {
  const reader = registryReader(registry, reference);
  const named = async (signal: AbortSignal) => {
    try {
      return (await reader.resolve(signal)).digest;
    } catch (error) {
      if (error instanceof CacheNotFoundError) return undefined;
      throw error;
    }
  };
  return {
    ...reader,
    async putLayer({ descriptor, open }, signal) {
      const from = repositoryOf(descriptor.digest);
      await registry.pushBlob(reference, { descriptor, open }, from === undefined ? {} : { mountFrom: from }, signal);
    },
    async putDocument(descriptor, bytes, signal) {
      const open = async function* (offset: number) {
        yield bytes.subarray(offset);
      };
      await registry.pushBlob(reference, { descriptor, open }, {}, signal);
    },
    async publish(manifest, bytes, before, signal) {
      // A registry has no compare-and-swap: another export can still slip in between this look and the push.
      const now = await named(signal);
      if (now === manifest.digest) return true;
      if (before !== 'whatever' && now !== before) return false;
      await registry.pushManifest(reference, bytes, manifest.mediaType, signal);
      return true;
    },
    async sweep() {},
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
