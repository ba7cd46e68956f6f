/** The builds of a root, in its database. */
import type { StatementSync } from 'node:sqlite';
import { deflateSync, inflateSync } from 'node:zlib';
import type { Database } from '../../store/database.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import type { BuildEnd, BuildStart, BuildStatus, BuildSummary, StepRecord } from './build-record.ts';

/** Published steps: never changed, only followed by others. */
const schema = [
  `CREATE TABLE history_build (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     pid INTEGER NOT NULL,
     started_at INTEGER NOT NULL,
     status TEXT NOT NULL,
     project TEXT NOT NULL,
     start TEXT NOT NULL,
     end TEXT
   ) STRICT;
   CREATE INDEX history_build_project ON history_build (project, number);
   CREATE TABLE history_steps (
     build INTEGER PRIMARY KEY REFERENCES history_build (number) ON DELETE CASCADE,
     steps BLOB NOT NULL
   ) STRICT;
   CREATE TABLE history_log (
     build INTEGER NOT NULL REFERENCES history_build (number) ON DELETE CASCADE,
     step INTEGER NOT NULL,
     data BLOB NOT NULL,
     PRIMARY KEY (build, step)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE history_text (digest TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;`,
];

/** As many builds are kept; what is older goes when a build begins. */
const KEPT = 2000;

/** The output of a step: its end, and how much there was. */
export interface StepLog {
  readonly step: number;
  readonly data: Uint8Array;
}

/** A build that is being recorded. */
export interface RunningBuild {
  readonly number: number;
  /** Writes down how it ended. `logs` are the ends of what its steps printed. */
  finish(end: BuildEnd, steps: readonly StepRecord[], logs: readonly StepLog[]): void;
}

interface ListOptions {
  /** Only builds of the same context and Dockerfile as this one. */
  readonly project?: BuildStart;
  /** Only builds with lower numbers. */
  readonly before?: number;
  readonly limit?: number;
}

export interface History {
  begin(start: BuildStart): RunningBuild;
  /** Newest first. */
  list(options?: ListOptions): BuildSummary[];
  /** A build by number or by the beginning of its id. */
  find(name: string | number): BuildSummary | undefined;
  /** The newest build that this process began. */
  latestOfProcess(): BuildSummary | undefined;
  /** The steps of a build; empty for one that was interrupted. */
  steps(build: number): readonly StepRecord[];
  log(build: number, step: number): Uint8Array | undefined;
  /** Keeps a text and returns its digest. */
  saveText(data: Uint8Array): string;
  text(digest: string): string | undefined;
  remove(builds: readonly number[]): void;
}

type Row = Readonly<Record<string, unknown>>;

/** What of a build tells that it builds the same thing: its context and its Dockerfile. */
function projectOf({ context, dockerfile }: BuildStart): string {
  return JSON.stringify([context, dockerfile]);
}

/** The history of a root. Opening it costs one look at the schema; statements are prepared when they are first used. */
export function openHistory(database: Database): History {
  database.migrate('history', schema);
  const { sql, transaction } = database;
  const prepared = new Map<string, StatementSync>();
  const statement = (query: string): StatementSync => {
    const known = prepared.get(query) ?? sql.prepare(query);
    prepared.set(query, known);
    return known;
  };
  const insertText = 'INSERT OR IGNORE INTO history_text VALUES (?, ?)';

  return {
    begin(start) {
      const { id, startedAt } = start;
      const number = transaction(() => {
        const { lastInsertRowid } = statement(
          'INSERT INTO history_build (id, pid, started_at, status, project, start) VALUES (?, ?, ?, ?, ?, ?)',
        ).run(id, process.pid, startedAt, 'running', projectOf(start), JSON.stringify(start));
        statement('DELETE FROM history_build WHERE number <= ?').run(Number(lastInsertRowid) - KEPT);
        return Number(lastInsertRowid);
      });
      return {
        number,
        finish(end, steps, logs) {
          transaction(() => {
            const { status, ...rest } = end;
            statement('UPDATE history_build SET status = ?, end = ? WHERE number = ?').run(
              status,
              JSON.stringify(rest),
              number,
            );
            statement('INSERT OR REPLACE INTO history_steps VALUES (?, ?)').run(number, pack(JSON.stringify(steps)));
            for (const { step, data } of logs) {
              statement('INSERT OR REPLACE INTO history_log VALUES (?, ?, ?)').run(number, step, pack(data));
            }
          });
        },
      };
    },

    list({ project, before = Number.MAX_SAFE_INTEGER, limit = -1 } = {}) {
      const rows =
        project === undefined
          ? statement('SELECT * FROM history_build WHERE number < ? ORDER BY number DESC LIMIT ?').all(before, limit)
          : statement('SELECT * FROM history_build WHERE project = ? AND number < ? ORDER BY number DESC LIMIT ?').all(
              projectOf(project),
              before,
              limit,
            );
      return rows.map(summaryOf);
    },

    find(name) {
      const row = /^\d{1,15}$/.test(String(name))
        ? statement('SELECT * FROM history_build WHERE number = ?').get(Number(name))
        : statement(
            'SELECT * FROM history_build WHERE id >= ?1 AND id < ?1 || char(0x10ffff) ORDER BY number DESC',
          ).get(String(name));
      return row === undefined ? undefined : summaryOf(row);
    },

    latestOfProcess() {
      const row = statement('SELECT * FROM history_build WHERE pid = ? ORDER BY number DESC LIMIT 1').get(process.pid);
      return row === undefined ? undefined : summaryOf(row);
    },

    steps(build) {
      const data = statement('SELECT steps FROM history_steps WHERE build = ?').get(build)?.['steps'];
      return data instanceof Uint8Array ? (JSON.parse(unpack(data).toString()) as StepRecord[]) : [];
    },

    log(build, step) {
      const data = statement('SELECT data FROM history_log WHERE build = ? AND step = ?').get(build, step)?.['data'];
      return data instanceof Uint8Array ? unpack(data) : undefined;
    },

    saveText(data) {
      const digest = digestOf(data);
      if (statement('SELECT 1 FROM history_text WHERE digest = ?').get(digest) === undefined) {
        statement(insertText).run(digest, pack(data));
      }
      return digest;
    },

    text(digest) {
      const data = statement('SELECT data FROM history_text WHERE digest = ?').get(digest)?.['data'];
      return data instanceof Uint8Array ? unpack(data).toString() : undefined;
    },

    remove(builds) {
      transaction(() => {
        for (const number of builds) statement('DELETE FROM history_build WHERE number = ?').run(number);
        const used = new Set(statement('SELECT end FROM history_build').all().flatMap(textOf));
        for (const row of statement('SELECT digest FROM history_text').all()) {
          const digest = String(row['digest']);
          if (!used.has(digest)) statement('DELETE FROM history_text WHERE digest = ?').run(digest);
        }
      });
    },
  };
}

function textOf({ end }: Row): string[] {
  if (typeof end !== 'string') return [];
  const { dockerfileText } = JSON.parse(end) as Partial<BuildEnd>;
  return dockerfileText === undefined ? [] : [dockerfileText];
}

function summaryOf(row: Row): BuildSummary {
  const start = JSON.parse(String(row['start'])) as BuildStart;
  const end = typeof row['end'] === 'string' ? (JSON.parse(row['end']) as Omit<BuildEnd, 'status'>) : {};
  const status = String(row['status']) as BuildStatus;
  const isAlive = status !== 'running' || isRunning(Number(row['pid']));
  return { ...start, ...end, number: Number(row['number']), status: isAlive ? status : 'interrupted' };
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Less is not worth the milliseconds that loading zlib takes at the end of each build; in bytes. */
const COMPRESSED_FROM = 32 * 1024;

/** Bytes that are much shorter compressed are stored so; a first byte tells. */
function pack(data: Uint8Array | string): Uint8Array {
  const plain = Buffer.from(data);
  if (plain.length < COMPRESSED_FROM) return Buffer.concat([Buffer.of(0), plain]);
  return Buffer.concat([Buffer.of(1), deflateSync(plain, { level: plain.length > 1 << 20 ? 1 : 6 })]);
}

function unpack(data: Uint8Array): Buffer {
  const rest = Buffer.from(data.buffer, data.byteOffset + 1, data.length - 1);
  return data[0] === 1 ? inflateSync(rest) : rest;
}
