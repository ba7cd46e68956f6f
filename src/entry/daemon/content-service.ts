import type { ContentStore } from '../../store/content/content-store.ts';
import type { Route } from '../../wire/grpc/service.ts';
import type { BlobStore } from '../../wire/session/content/blob-store.ts';
import { contentRoutes } from '../../wire/session/content/content-server.ts';
import type { BuildHistory } from './build-history.ts';

/** The blobs of the daemon, and those of its history, to be read. */
export function daemonContentRoutes(content: ContentStore, history: BuildHistory): Route[] {
  const store: BlobStore = {
    async info(digest) {
      const size = content.size(digest);
      if (size !== undefined) return { digest, size };
      const blob = history.blob(digest);
      if (blob === undefined) return undefined;
      const createdAt = new Date(Number(blob.createdAt / 1_000_000n));
      return { digest, size: blob.data.length, createdAt, updatedAt: createdAt };
    },
    async *read(digest, offset, length) {
      const blob = content.has(digest) ? undefined : history.blob(digest);
      if (blob !== undefined) yield blob.data.subarray(offset, offset + length);
      else yield* content.read(digest, { start: offset, end: offset + length });
    },
    async *list() {
      for (const { digest, size } of content.list()) yield { digest, size };
    },
  };
  return contentRoutes(() => store);
}
