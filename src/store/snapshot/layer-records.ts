import type { StatementSync } from 'node:sqlite';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import type { Database } from '../database.ts';

/** The id of a layer: the name of its directory. */
export type LayerID = string;

/** What is known of a layer. */
export interface LayerRecord {
  readonly id: LayerID;
  /** The layers that it was made on, bottom first. */
  readonly parents: readonly LayerID[];
  /** Digest of its tar, once that is known. */
  readonly diffID?: Digest;
  /** For a layer that came as a blob: its descriptor as it came. */
  readonly origin?: Descriptor;
  /** For a layer that is the difference of two trees: the layers of the one that it leads to, bottom first. */
  readonly diffOf?: readonly LayerID[];
  /** For a layer that was adapted to others below it: the one that its blob is that of. */
  readonly blobOf?: LayerID;
  /** Whether its files are on the disk. */
  readonly isUnpacked: boolean;
  /** Whether it hides something of the layers below. */
  readonly hides: boolean;
  /** Nanoseconds since the epoch. */
  readonly createdAt: bigint;
  /** Milliseconds since the epoch. */
  readonly lastUsedAt: number;
  /** Bytes on the disk, once measured. */
  readonly size?: number;
}

/** A blob that was made of a layer. */
export interface LayerBlobRecord {
  readonly digest: Digest;
  readonly size: number;
  /** Differs from the layer's own where times were clamped. */
  readonly diffID: Digest;
}

/** The tables of the layer store. */
export interface LayerRecords {
  get(id: LayerID): LayerRecord | undefined;
  /** One for each id, in order. */
  getAll(ids: readonly LayerID[]): (LayerRecord | undefined)[];
  list(): LayerRecord[];
  add(record: LayerRecord): void;
  setUnpacked(id: LayerID, isUnpacked: boolean, hides: boolean): void;
  setDiffID(id: LayerID, diffID: Digest): void;
  setSize(id: LayerID, size: number): void;
  touch(ids: Iterable<LayerID>, at: number): void;
  remove(id: LayerID): void;
  /** The blob of a layer that was made with these options (a text). */
  blob(id: LayerID, options: string): LayerBlobRecord | undefined;
  addBlob(id: LayerID, options: string, blob: LayerBlobRecord): void;
  /** The digests of all blobs of layers: those that they came as and those that were made. */
  blobs(): Set<Digest>;
}

const STEPS = [
  `CREATE TABLE layers (
    id TEXT PRIMARY KEY,
    parents TEXT NOT NULL,
    diff_id TEXT,
    origin TEXT,
    diff_of TEXT,
    unpacked INTEGER NOT NULL,
    hides INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at INTEGER NOT NULL,
    size INTEGER
  ) STRICT;
  CREATE TABLE layer_blobs (
    layer TEXT NOT NULL REFERENCES layers (id) ON DELETE CASCADE,
    options TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    diff_id TEXT NOT NULL,
    PRIMARY KEY (layer, options)
  ) STRICT, WITHOUT ROWID`,
  'ALTER TABLE layers ADD COLUMN blob_of TEXT',
];

type Row = Readonly<Record<string, unknown>>;

/** Opens the tables of the layer store. Throws `DatabaseError`. */
export function layerRecords(database: Database): LayerRecords {
  database.migrate('layers', STEPS);
  const prepared = new Map<string, StatementSync>();
  const statement = (text: string): StatementSync => {
    const found = prepared.get(text) ?? database.sql.prepare(text);
    prepared.set(text, found);
    return found;
  };

  // A step asks for all layers below it, so a deep build would read each row again and again.
  const cache = new Map<LayerID, LayerRecord>();
  let version: unknown;

  const forgetChanged = (): void => {
    // It changes when another process, or another connection of this one, writes (SQLite, pragma data_version).
    const now = statement('PRAGMA data_version').get()?.['data_version'];
    if (now !== version) cache.clear();
    version = now;
  };

  const read = (id: LayerID): LayerRecord | undefined => {
    const known = cache.get(id);
    if (known !== undefined) return known;
    const row = statement('SELECT * FROM layers WHERE id = ?').get(id);
    if (row === undefined) return undefined;
    const record = recordOf(row);
    cache.set(id, record);
    return record;
  };

  return {
    get(id) {
      forgetChanged();
      return read(id);
    },
    getAll(ids) {
      forgetChanged();
      return ids.map(read);
    },
    list() {
      return statement('SELECT * FROM layers ORDER BY created_at, id').all().map(recordOf);
    },
    // What a transaction that fails had written is never kept here: a record is read when it is asked for.
    add({ id, parents, diffID, origin, diffOf, blobOf, isUnpacked, hides, createdAt, lastUsedAt }) {
      statement('INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)').run(
        id,
        JSON.stringify(parents),
        diffID ?? null,
        origin === undefined ? null : JSON.stringify(origin),
        diffOf === undefined ? null : JSON.stringify(diffOf),
        Number(isUnpacked),
        Number(hides),
        String(createdAt),
        lastUsedAt,
        blobOf ?? null,
      );
    },
    setUnpacked(id, isUnpacked, hides) {
      cache.delete(id);
      statement('UPDATE layers SET unpacked = ?, hides = ?, size = NULL WHERE id = ?').run(
        Number(isUnpacked),
        Number(hides),
        id,
      );
    },
    setDiffID(id, diffID) {
      cache.delete(id);
      statement('UPDATE layers SET diff_id = ? WHERE id = ?').run(diffID, id);
    },
    setSize(id, size) {
      cache.delete(id);
      statement('UPDATE layers SET size = ? WHERE id = ?').run(size, id);
    },
    touch(ids, at) {
      const update = statement('UPDATE layers SET last_used_at = ? WHERE id = ?');
      database.transaction(() => {
        for (const id of ids) {
          cache.delete(id);
          update.run(at, id);
        }
      });
    },
    remove(id) {
      cache.delete(id);
      statement('DELETE FROM layers WHERE id = ?').run(id);
    },
    blob(id, options) {
      const row = statement('SELECT * FROM layer_blobs WHERE layer = ? AND options = ?').get(id, options);
      if (row === undefined) return undefined;
      return { digest: digest(row['digest']), size: Number(row['size']), diffID: digest(row['diff_id']) };
    },
    addBlob(id, options, blob) {
      statement('INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?)').run(
        id,
        options,
        blob.digest,
        blob.size,
        blob.diffID,
      );
    },
    blobs() {
      const made = statement('SELECT digest FROM layer_blobs').all();
      const found = new Set(made.map(row => digest(row['digest'])));
      for (const row of statement('SELECT origin FROM layers WHERE origin IS NOT NULL').all()) {
        found.add((JSON.parse(String(row['origin'])) as Descriptor).digest);
      }
      return found;
    },
  };
}

function recordOf(row: Row): LayerRecord {
  return {
    id: String(row['id']),
    parents: JSON.parse(String(row['parents'])) as LayerID[],
    isUnpacked: row['unpacked'] === 1,
    hides: row['hides'] === 1,
    createdAt: BigInt(String(row['created_at'])),
    lastUsedAt: Number(row['last_used_at']),
    ...(typeof row['diff_id'] === 'string' ? { diffID: digest(row['diff_id']) } : {}),
    ...(typeof row['origin'] === 'string' ? { origin: JSON.parse(row['origin']) as Descriptor } : {}),
    ...(typeof row['diff_of'] === 'string' ? { diffOf: JSON.parse(row['diff_of']) as LayerID[] } : {}),
    ...(typeof row['blob_of'] === 'string' ? { blobOf: row['blob_of'] } : {}),
    ...(typeof row['size'] === 'number' ? { size: row['size'] } : {}),
  };
}

function digest(value: unknown): Digest {
  return String(value) as Digest;
}
