import type { Database } from '../../store/database.ts';
import { type Digest, isDigest } from '../../wire/oci/digest.ts';
import type { LayerID } from '../ops/ref.ts';

/** A download that is kept, with what a server can be asked about it. */
export interface KeptDownload {
  readonly layer: LayerID;
  /** Entity tag without the mark of a weak one. */
  readonly etag: string;
  readonly checksum: Digest;
  /** `Last-Modified`, as it came. */
  readonly lastModified: string | undefined;
  readonly disposition: string | undefined;
}

/** What sources fetched before, so that it need not be fetched again. The layers may have been pruned since. */
export interface DownloadStore {
  /** The downloads that a request gave before, newest first. */
  downloads(request: Digest): KeptDownload[];
  keepDownload(request: Digest, download: KeptDownload): void;
  /** The layer of a git checkout. */
  checkout(key: string): LayerID | undefined;
  keepCheckout(key: string, layer: LayerID): void;
}

const STEPS = [
  `CREATE TABLE source_downloads (
    request TEXT NOT NULL,
    etag TEXT NOT NULL,
    checksum TEXT NOT NULL,
    last_modified TEXT,
    disposition TEXT,
    layer TEXT NOT NULL,
    kept_at INTEGER NOT NULL,
    PRIMARY KEY (request, etag)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE source_checkouts (key TEXT PRIMARY KEY, layer TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
];

/** The tables of a store root. */
export function openDownloadStore(database: Database, now: () => number = Date.now): DownloadStore {
  database.migrate('sources', STEPS);
  const { sql } = database;
  const select = sql.prepare('SELECT * FROM source_downloads WHERE request = ? ORDER BY kept_at DESC');
  const keep = sql.prepare('INSERT OR REPLACE INTO source_downloads VALUES (?, ?, ?, ?, ?, ?, ?)');
  const selectCheckout = sql.prepare('SELECT layer FROM source_checkouts WHERE key = ?');
  const keepCheckout = sql.prepare('INSERT OR REPLACE INTO source_checkouts VALUES (?, ?)');
  return {
    downloads: request => select.all(request).flatMap(readRow),
    keepDownload(request, { etag, checksum, lastModified, disposition, layer }) {
      keep.run(request, etag, checksum, lastModified ?? null, disposition ?? null, layer, now());
    },
    checkout(key) {
      const layer = selectCheckout.get(key)?.['layer'];
      return typeof layer === 'string' ? layer : undefined;
    },
    keepCheckout(key, layer) {
      keepCheckout.run(key, layer);
    },
  };
}

function readRow(row: Readonly<Record<string, unknown>>): KeptDownload[] {
  const checksum = String(row['checksum']);
  if (!isDigest(checksum)) return [];
  const text = (name: string) => (typeof row[name] === 'string' ? row[name] : undefined);
  return [
    {
      layer: String(row['layer']),
      etag: String(row['etag']),
      checksum,
      lastModified: text('last_modified'),
      disposition: text('disposition'),
    },
  ];
}
