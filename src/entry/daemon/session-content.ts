import type { ImageContent } from '../../engine/source/image-content.ts';
import type { OciLayouts } from '../../engine/source/oci-layout.ts';
import { SourceError } from '../../engine/source/source-key.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { parseManifest } from '../../wire/oci/manifest.ts';
import { type RemoteContent, remoteContent } from '../../wire/session/content/content-client.ts';
import type { Session } from '../../wire/session/session.ts';

/** Larger ones are no manifests, indexes or configs. */
const MAX_DOCUMENT = 4 * 1024 * 1024;

/** The OCI layouts that a client offers, by the id of their store. */
export function sessionLayouts(find: (signal: AbortSignal) => Promise<Session>): OciLayouts {
  const storeOf = async (id: string, signal: AbortSignal): Promise<RemoteContent> =>
    remoteContent((await find(signal)).channel, `oci:${id}`);
  const sizeOf = async (store: RemoteContent, id: string, digest: Digest, signal: AbortSignal): Promise<number> => {
    const size = await store.size(digest, signal);
    if (size === undefined) throw new SourceError(`OCI layout ${id} has no blob ${digest}: not found`);
    return size;
  };
  return {
    async open(id, digest, signal) {
      const store = await storeOf(id, signal);
      const content = storeContent(store, id);
      const size = await sizeOf(store, id, digest, signal);
      const bytes = await content.document({ mediaType: '', digest, size }, signal);
      return { root: { mediaType: parseManifest(bytes).mediaType, digest, size }, content };
    },
    async openBlob(id, digest, signal) {
      const store = await storeOf(id, signal);
      return { size: await sizeOf(store, id, digest, signal), bytes: store.read(digest, 0, signal) };
    },
  };
}

function storeContent(store: RemoteContent, id: string): ImageContent {
  return {
    async document({ digest, size }, signal) {
      if (size > MAX_DOCUMENT) throw new SourceError(`OCI layout ${id}: ${digest} is too large for a manifest`);
      const parts: Uint8Array[] = [];
      for await (const part of store.read(digest, 0, signal)) parts.push(part);
      const bytes = Buffer.concat(parts);
      const actual = digestOf(bytes);
      if (actual === digest) return bytes;
      throw new SourceError(`blob ${digest} of OCI layout ${id} is damaged: its bytes have the digest ${actual}`);
    },
    stream: ({ digest }, signal) => store.read(digest, 0, signal),
  };
}
