import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** How long a writer waits for another process's transaction, in milliseconds. */
const BUSY_TIMEOUT = 30_000;

/** Pages in the log from which on a transaction copies it into the file; SQLite reads all of it to open the database. */
const LOG_PAGES = 400;

/** The database could not be opened, or was written by a newer version. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
}

export interface DatabaseOptions {
  /**
   * The process ends when the database is no longer needed, by `process.exit`, which does not close it. Closing copies the
   * log into the file and waits for the disk several times; without, the next process goes on with the log.
   */
  readonly endsWithProcess?: boolean;
}

/** The one database of a store root. Several processes may have it open. */
export interface Database extends Disposable {
  /** For statements; prepare once and keep. */
  readonly sql: DatabaseSync;
  /**
   * Brings a room's tables up to date: runs those of `steps` that have not run on this file yet, in order, each once.
   * A step is SQL text; published steps are never changed, only followed by further ones. Throws `DatabaseError` when
   * the file has had more steps than there are (a newer version wrote it).
   */
  migrate(room: string, steps: readonly string[]): void;
  /** Runs `work` in a transaction that has the write lock from the start; rolled back when `work` throws. */
  transaction<T>(work: () => T): T;
}

/**
 * Opens `outcrop.db` under the root, made if missing: WAL, so readers never wait; after a crash of the process nothing
 * that was committed is lost, after one of the machine at most the last transactions are. Throws `DatabaseError`.
 */
export function openDatabase(root: string, { endsWithProcess = false }: DatabaseOptions = {}): Database {
  const path = join(root, 'outcrop.db');
  let sql: DatabaseSync;
  try {
    mkdirSync(root, { recursive: true });
    sql = new DatabaseSync(path, { timeout: BUSY_TIMEOUT, enableForeignKeyConstraints: true });
    sql.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${LOG_PAGES};
       PRAGMA temp_store = MEMORY;`,
    );
  } catch (cause) {
    throw new DatabaseError(`cannot open ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  let depth = 0;

  const transaction = <T>(work: () => T): T => {
    // An inner transaction is part of the outer one.
    if (depth > 0) return work();
    sql.exec('BEGIN IMMEDIATE');
    depth++;
    try {
      const result = work();
      sql.exec('COMMIT');
      return result;
    } catch (error) {
      if (sql.isTransaction) sql.exec('ROLLBACK');
      throw error;
    } finally {
      depth--;
    }
  };

  const version = (room: string): number => {
    const known = sql.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").get();
    if (known === undefined) return 0;
    const row = sql.prepare('SELECT version FROM schema_version WHERE room = ?').get(room);
    return Number(row?.['version'] ?? 0);
  };

  return {
    sql,
    transaction,
    migrate(room, steps) {
      if (version(room) === steps.length) return;
      transaction(() => {
        sql.exec('CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT');
        // Asked again: another process may have migrated while this one waited for the write lock.
        const from = version(room);
        if (from > steps.length) {
          throw new DatabaseError(
            `${path} was written by a newer outcrop (${room} ${from}, this one knows ${steps.length}): use that version, or another root`,
          );
        }
        for (const step of steps.slice(from)) sql.exec(step);
        sql
          .prepare(
            'INSERT INTO schema_version VALUES (?, ?) ON CONFLICT (room) DO UPDATE SET version = excluded.version',
          )
          .run(room, steps.length);
      });
    },
    [Symbol.dispose]() {
      if (sql.isOpen && !endsWithProcess) sql.close();
    },
  };
}
