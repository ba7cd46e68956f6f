import type { Database } from '../../store/database.ts';
import type { UsageType } from './usage.ts';

/** What was removed from a cache, when and why, so that a later miss can name it. */
interface Removal {
  /** Milliseconds since the epoch. */
  readonly removedAt: number;
  /** Which rule removed it, in words. */
  readonly rule: string;
  readonly id: string;
  readonly type: UsageType;
  readonly description: string;
  readonly size: number;
  readonly lastUsedAt: number;
}

/** The record of removals. */
export interface RemovalLog {
  /** @param names What a look-up could have asked for: ids of results and keys, record digests. */
  add(removal: Removal, names: Iterable<string>): void;
  /** The latest removal of what any of these names meant. */
  find(names: Iterable<string>): Removal | undefined;
  /** Forgets removals before a time, milliseconds since the epoch. */
  forget(before: number): void;
}

const STEPS = [
  `CREATE TABLE removals (
    number INTEGER PRIMARY KEY,
    removed_at INTEGER NOT NULL,
    rule TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    description TEXT NOT NULL,
    size INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE removal_names (
    name TEXT NOT NULL,
    removal INTEGER NOT NULL REFERENCES removals (number) ON DELETE CASCADE,
    PRIMARY KEY (name, removal)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX removal_names_removal ON removal_names (removal);`,
];

/** The removals of a store root. */
export function openRemovalLog(database: Database): RemovalLog {
  database.migrate('removals', STEPS);
  const { sql } = database;
  const insert = sql.prepare('INSERT INTO removals VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)');
  const insertName = sql.prepare('INSERT OR IGNORE INTO removal_names VALUES (?, ?)');
  const findNewest = sql.prepare(
    `SELECT removals.* FROM removal_names JOIN removals ON removals.number = removal_names.removal
     WHERE name = ? ORDER BY removals.number DESC LIMIT 1`,
  );
  const deleteBefore = sql.prepare('DELETE FROM removals WHERE removed_at < ?');
  return {
    add({ removedAt, rule, id, type, description, size, lastUsedAt }, names) {
      database.transaction(() => {
        const at = Math.floor(removedAt);
        const { lastInsertRowid } = insert.run(at, rule, id, type, description, size, Math.floor(lastUsedAt));
        for (const name of new Set([id, ...names])) insertName.run(name, lastInsertRowid);
      });
    },
    find(names) {
      let newest: Removal | undefined;
      for (const name of names) {
        const row = findNewest.get(name);
        if (row === undefined) continue;
        const removal = readRow(row);
        if (newest === undefined || removal.removedAt > newest.removedAt) newest = removal;
      }
      return newest;
    },
    forget(before) {
      deleteBefore.run(Math.floor(before));
    },
  };
}

function readRow(row: Readonly<Record<string, unknown>>): Removal {
  return {
    removedAt: Number(row['removed_at']),
    rule: String(row['rule']),
    id: String(row['id']),
    type: String(row['type']) as UsageType,
    description: String(row['description']),
    size: Number(row['size']),
    lastUsedAt: Number(row['last_used_at']),
  };
}
