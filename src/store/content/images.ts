import type { Descriptor, Platform } from '../../wire/oci/descriptor.ts';
import { type Digest, isDigest } from '../../wire/oci/digest.ts';
import type { Database } from '../database.ts';

/** A name that an image of this machine has. */
interface ImageRecord {
  /** Whole and with its tag: `docker.io/library/app:latest`. */
  readonly name: string;
  /** Its manifest or index in the content store. */
  readonly target: Descriptor;
  /** When the name was first given and last moved, milliseconds since the epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Names of the images in the content store: those that were built here and kept. */
export interface ImageStore {
  get(name: string): ImageRecord | undefined;
  /** Gives a name to an image, taking it from the one that had it. */
  put(name: string, target: Descriptor): ImageRecord;
  /** Takes a name away; returns whether it was there. The blobs stay until they are pruned. */
  delete(name: string): boolean;
  /** All of them, by name. */
  list(): ImageRecord[];
  /** Whether a manifest or index is known to be in a repository: it came from there, or an image of here is named so. */
  isIn(repository: string, digest: Digest): boolean;
  /** Notes that a manifest or index came from a repository. */
  noteIn(repository: string, digest: Digest): void;
  /** Forgets from where what `exists` denies came. */
  forgetOrigins(exists: (digest: Digest) => boolean): void;
}

const STEPS = [
  `CREATE TABLE images (
    name TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    platform TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  'CREATE TABLE image_origins (repository TEXT, digest TEXT, PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID',
];

/** The image names of a store root. */
export function openImageStore(database: Database, now: () => number = Date.now): ImageStore {
  database.migrate('images', STEPS);
  const { sql } = database;
  const select = sql.prepare('SELECT * FROM images WHERE name = ?');
  const selectAll = sql.prepare('SELECT * FROM images ORDER BY name');
  const remove = sql.prepare('DELETE FROM images WHERE name = ?');
  const upsert = sql.prepare(
    `INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET media_type = excluded.media_type, digest = excluded.digest, size = excluded.size,
       platform = excluded.platform, updated_at = excluded.updated_at
     RETURNING *`,
  );
  // A name is its repository, a colon and a tag; the semicolon follows the colon.
  const selectNamed = sql.prepare('SELECT 1 FROM images WHERE name > ? AND name < ? AND digest = ?');
  const selectOrigin = sql.prepare('SELECT 1 FROM image_origins WHERE repository = ? AND digest = ?');
  const selectOrigins = sql.prepare('SELECT DISTINCT digest FROM image_origins');
  const deleteOrigin = sql.prepare('DELETE FROM image_origins WHERE digest = ?');
  const insertOrigin = sql.prepare('INSERT OR IGNORE INTO image_origins VALUES (?, ?)');
  return {
    get(name) {
      const row = select.get(name);
      return row === undefined ? undefined : readRow(row);
    },
    put(name, target) {
      const time = now();
      const platform = target.platform === undefined ? null : JSON.stringify(target.platform);
      const row = upsert.get(name, target.mediaType, target.digest, target.size, platform, time, time);
      return row === undefined ? { name, target, createdAt: time, updatedAt: time } : readRow(row);
    },
    delete: name => remove.run(name).changes > 0,
    list: () => selectAll.all().map(readRow),
    isIn: (repository, digest) =>
      selectOrigin.get(repository, digest) !== undefined ||
      selectNamed.get(`${repository}:`, `${repository};`, digest) !== undefined,
    noteIn(repository, digest) {
      insertOrigin.run(repository, digest);
    },
    forgetOrigins(exists) {
      for (const { digest } of selectOrigins.all()) {
        const known = String(digest);
        if (!isDigest(known) || !exists(known)) deleteOrigin.run(known);
      }
    },
  };
}

function readRow(row: Readonly<Record<string, unknown>>): ImageRecord {
  const digest = String(row['digest']);
  if (!isDigest(digest)) throw new TypeError(`the image table has a bad digest: ${digest}`);
  const platform: Platform | undefined = row['platform'] === null ? undefined : JSON.parse(String(row['platform']));
  return {
    name: String(row['name']),
    target: {
      mediaType: String(row['media_type']),
      digest,
      size: Number(row['size']),
      ...(platform === undefined ? {} : { platform }),
    },
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}
