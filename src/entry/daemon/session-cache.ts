import {
  CacheNotFoundError,
  type ContentReader,
  type ContentWriter,
  RemoteCacheError,
} from '../../engine/cache/remote/content-place.ts';
import type { CacheDirectories } from '../../engine/cache/remote/port.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { type RemoteContent, remoteContent } from '../../wire/session/content/content-client.ts';
import type { Session } from '../../wire/session/session.ts';

/**
 * Caches in directories of the client, through the content store that it offers for each. Their index is the client's: it
 * says which digest to read, and writes down what was written (control-api facts, 4.4).
 */
export function sessionDirectories(find: (signal: AbortSignal) => Promise<Session>): CacheDirectories {
  const storeOf = async (directory: string, signal: AbortSignal): Promise<RemoteContent> =>
    remoteContent((await find(signal)).channel, `local:${directory}`);

  function reader(directory: string, _tag: string, digest?: Digest): ContentReader {
    async function document(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
      const store = await storeOf(directory, signal);
      const parts: Uint8Array[] = [];
      for await (const part of store.read(descriptor.digest, 0, signal)) parts.push(part);
      const bytes = Buffer.concat(parts);
      const actual = digestOf(bytes);
      if (actual === descriptor.digest) return bytes;
      throw new RemoteCacheError(
        `${directory}: blob ${descriptor.digest} is damaged: its bytes have the digest ${actual}`,
      );
    }
    const has = async (blob: Descriptor, signal: AbortSignal) =>
      (await (await storeOf(directory, signal)).size(blob.digest, signal)) === blob.size;
    return {
      async resolve(signal) {
        if (digest === undefined) {
          throw new CacheNotFoundError(
            'local cache importer requires either explicit digest, "latest" tag or custom tag on index.json',
          );
        }
        const size = await (await storeOf(directory, signal)).size(digest, signal);
        if (size === undefined) throw new CacheNotFoundError(`content ${digest}: not found`);
        return { mediaType: '', digest, size };
      },
      manifest: document,
      document,
      async *open(blob, offset, signal) {
        yield* (await storeOf(directory, signal)).read(blob.digest, offset, signal);
      },
      // Only asking tells.
      mayHave: () => true,
      has,
    };
  }

  function writer(directory: string, tag: string, before?: Digest): ContentWriter {
    const write = async (
      kind: string,
      { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
      open: () => AsyncIterable<Uint8Array>,
      signal: AbortSignal,
    ) => (await storeOf(directory, signal)).write({ digest, size, ref: `${kind}-${digest}` }, open, signal);
    return {
      ...reader(directory, tag, before),
      putLayer: ({ descriptor, open }, signal) => write('layer', descriptor, () => open(0, signal), signal),
      putDocument: (descriptor, bytes, signal) => write('config', descriptor, () => once(bytes), signal),
      async publish(manifest, bytes, _before, signal) {
        await write('manifest', manifest, () => once(bytes), signal);
        return true;
      },
      // The client removes what its index does not reach.
      async sweep() {},
    };
  }

  return { reader, writer };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
