/** Where the layers of imported caches came from, kept for builds that are not given the source. */
import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../../../store/database.ts';
import type { LazyLayer } from '../../../store/snapshot/unpack-layers.ts';
import type { Descriptor } from '../../../wire/oci/descriptor.ts';
import { type Digest, hexOf } from '../../../wire/oci/digest.ts';
import { CacheLayerError, checkedBytes } from './lost-layer.ts';

/** Published steps: never changed, only followed by others. Times are milliseconds. */
const schema = [
  `CREATE TABLE cache_blob_place (
     digest TEXT PRIMARY KEY, size INTEGER NOT NULL, source TEXT NOT NULL, directory TEXT, used_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX cache_blob_place_used ON cache_blob_place (used_at);`,
];
const forgottenAfter = 90 * 24 * 3_600_000;

export interface BlobPlaces {
  /**
   * Notes the source of layers that were hit.
   *
   * @param directory - of a local source
   */
  remember(source: string, directory: string | undefined, blobs: Iterable<Descriptor>): void;
  /** For a blob that was not there. */
  forget(digest: string): void;
  /** How to read a blob that lies in a directory that an earlier build was given; undefined when it is not there. */
  fetchOf(digest: Digest): LazyLayer['fetch'] | undefined;
  /** The source that a blob was in, if an earlier build was given one: what is to be given again. */
  sourceOf(digest: Digest): string | undefined;
}

/** The places in a database. */
export function blobPlaces(database: Database): BlobPlaces {
  database.migrate('cache-blob-places', schema);
  const { sql } = database;
  const row = (digest: Digest) => sql.prepare('SELECT * FROM cache_blob_place WHERE digest = ?').get(digest);

  function forget(digest: string): void {
    sql.prepare('DELETE FROM cache_blob_place WHERE digest = ?').run(digest);
  }

  async function* fetch(blob: Pick<Descriptor, 'digest' | 'size'>, path: string, source: string) {
    try {
      yield* checkedBytes(blob, createReadStream(path));
    } catch (cause) {
      forget(blob.digest);
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CacheLayerError(blob.digest, `layer ${blob.digest} of the cache ${source} cannot be had: ${reason}`, {
        cause,
      });
    }
  }

  return {
    remember(source, directory, blobs) {
      database.transaction(() => {
        const now = Date.now();
        sql.prepare('DELETE FROM cache_blob_place WHERE used_at < ?').run(now - forgottenAfter);
        const insert = sql.prepare('INSERT OR REPLACE INTO cache_blob_place VALUES (?, ?, ?, ?, ?)');
        for (const { digest, size } of blobs) insert.run(digest, size, source, directory ?? null, now);
      });
    },
    forget,
    fetchOf(digest) {
      const { directory, source, size } = row(digest) ?? {};
      if (typeof directory !== 'string') return undefined;
      const path = join(directory, 'blobs', 'sha256', hexOf(digest));
      if (typeof size !== 'number' || statSync(path, { throwIfNoEntry: false })?.size !== size) return undefined;
      return () => fetch({ digest, size }, path, String(source));
    },
    sourceOf(digest) {
      const source = row(digest)?.['source'];
      return typeof source === 'string' ? source : undefined;
    },
  };
}
