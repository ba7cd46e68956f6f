/** The local cache's keys in the database. */
import type { StatementSync } from 'node:sqlite';
import { deflateSync, inflateSync } from 'node:zlib';
import type { Database } from '../../store/database.ts';
import type { Backlink, KeyStore, Link, StoredResult } from '../solver/cache.ts';
import { recordDigest } from '../solver/key.ts';
import type { KeyPart, Timestamp } from '../status/event.ts';
import { memoryKeyStore, randomKeyId } from './memory-key-store.ts';

/** Published steps: never changed, only followed by others. Ids and digests are long, so links hold numbers of rows. */
const schema = [
  `CREATE TABLE cache_key (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
   CREATE TABLE cache_link (
     source INTEGER NOT NULL, digest TEXT NOT NULL, selector TEXT NOT NULL,
     input INTEGER NOT NULL, output INTEGER NOT NULL, target INTEGER NOT NULL,
     PRIMARY KEY (source, digest, selector, input, output, target)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX cache_link_target ON cache_link (target);
   CREATE TABLE cache_result (
     key INTEGER NOT NULL, result TEXT NOT NULL, created_at INTEGER NOT NULL,
     PRIMARY KEY (key, result)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX cache_result_result ON cache_result (result);
   CREATE TABLE cache_parts (digest TEXT PRIMARY KEY, parts BLOB NOT NULL) STRICT, WITHOUT ROWID;`,
];

/** Parts of fewer bytes are stored as JSON, others as a zlib stream: compressing has a cost of its own. */
const compressFrom = 4096;
/** Large ones are inflated in few pieces, which are joined at the end. */
const INFLATED_CHUNK = 1 << 18;
/** What JSON begins with and a zlib stream does not. */
const jsonStart = '['.charCodeAt(0);

export interface SqliteKeyStore extends KeyStore {
  /** All keys. */
  ids(): Iterable<string>;
  saveParts(digest: string, parts: () => readonly KeyPart[]): void;
  /** The named parts behind a cache-map digest, selector or content digest, if they were ever stored. */
  parts(digest: string): readonly KeyPart[] | undefined;
  /**
   * The parts behind two digests without those that both begin and end with, read without the cost of the whole lists;
   * undefined where one was never stored.
   */
  differingParts(one: string, other: string): readonly [readonly KeyPart[], readonly KeyPart[]] | undefined;
  /** Forgets results that `exists` denies, with what only they kept. Returns how many. */
  dropMissing(exists: (resultId: string) => boolean): number;
}

type Row = Readonly<Record<string, unknown>>;

function text(row: Row, column: string): string {
  return String(row[column]);
}

function time(row: Row, column: string): Timestamp {
  const value = row[column];
  return typeof value === 'bigint' ? value : 0n;
}

/**
 * The keys in a database. Looking up takes the same time whatever the number of keys. Keys of sessions (`random:`)
 * live as long as this object: no later session can have them.
 */
export function sqliteKeyStore(database: Database): SqliteKeyStore {
  database.migrate('cache', schema);
  const { sql, transaction } = database;
  const session = memoryKeyStore();

  /** Statements are prepared when they are first used: a short run needs few of them. */
  const statement = (query: string, prepare?: (made: StatementSync) => void): (() => StatementSync) => {
    let prepared: StatementSync | undefined;
    return () => {
      if (prepared === undefined) {
        prepared = sql.prepare(query);
        prepare?.(prepared);
      }
      return prepared;
    };
  };
  const findKey = statement('SELECT number FROM cache_key WHERE id = ?');
  const allKeys = statement('SELECT id FROM cache_key');
  const insertKey = statement('INSERT INTO cache_key (id) VALUES (?)');
  const deleteKey = statement('DELETE FROM cache_key WHERE number = ?');
  const findTargets = statement(
    `SELECT target.id FROM cache_key AS source
       JOIN cache_link AS link ON link.source = source.number
       JOIN cache_key AS target ON target.number = link.target
     WHERE source.id = ? AND link.digest = ? AND link.selector = ? AND link.input = ? AND link.output = ?`,
  );
  const insertLink = statement('INSERT OR IGNORE INTO cache_link VALUES (?, ?, ?, ?, ?, ?)');
  const findBacklinks = statement(
    `SELECT source.id, link.digest, link.selector, link.input, link.output FROM cache_key AS target
       JOIN cache_link AS link ON link.target = target.number
       JOIN cache_key AS source ON source.number = link.source
     WHERE target.id = ?`,
  );
  const findResults = statement(
    `SELECT result.result, result.created_at FROM cache_key AS key
       JOIN cache_result AS result ON result.key = key.number
     WHERE key.id = ?`,
    made => made.setReadBigInts(true),
  );
  const insertResult = statement('INSERT OR REPLACE INTO cache_result VALUES (?, ?, ?)');
  const findKeysOf = statement(
    `SELECT key.id, key.number FROM cache_result AS result
       JOIN cache_key AS key ON key.number = result.key
     WHERE result.result = ?`,
  );
  const deleteResult = statement('DELETE FROM cache_result WHERE result = ?');
  const allResults = statement('SELECT DISTINCT result FROM cache_result');
  const isKept = statement(
    `SELECT 1 WHERE EXISTS (SELECT 1 FROM cache_result WHERE key = ?1)
       OR EXISTS (SELECT 1 FROM cache_link WHERE source = ?1)`,
  );
  const findSources = statement('SELECT DISTINCT source FROM cache_link WHERE target = ?');
  const deleteLinksTo = statement('DELETE FROM cache_link WHERE target = ?');
  const findLinked = statement('SELECT DISTINCT target FROM cache_link WHERE source = ?');
  const deleteLinksFrom = statement('DELETE FROM cache_link WHERE source = ?');
  const findParts = statement('SELECT parts FROM cache_parts WHERE digest = ?');
  /** Without the parts, which may be megabytes. */
  const hasParts = statement('SELECT 1 FROM cache_parts WHERE digest = ?');
  const partsText = (digest: string): Buffer | undefined => {
    const blob = findParts().get(digest)?.['parts'];
    if (!(blob instanceof Uint8Array)) return undefined;
    const { buffer, byteOffset, byteLength } =
      blob[0] === jsonStart ? blob : inflateSync(blob, { chunkSize: INFLATED_CHUNK });
    return Buffer.from(buffer, byteOffset, byteLength);
  };
  const insertParts = statement('INSERT OR IGNORE INTO cache_parts VALUES (?, ?)');
  /** Digests whose parts are known to be stored. */
  const stored = new Set<string>();

  function numberOf(id: string): number {
    const row = findKey().get(id);
    return Number(row === undefined ? insertKey().run(id).lastInsertRowid : row['number']);
  }

  /** Removes keys that have neither results nor links from them, upwards. */
  function prune(start: number): void {
    const pending = [start];
    for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
      if (isKept().get(key) !== undefined) continue;
      for (const row of findSources().all(key)) pending.push(Number(row['source']));
      deleteLinksTo().run(key);
      deleteKey().run(key);
    }
  }

  function dropResult(resultId: string): void {
    session.dropResult(resultId);
    transaction(() => {
      const keys = findKeysOf().all(resultId);
      deleteResult().run(resultId);
      for (const row of keys) prune(Number(row['number']));
    });
  }

  function addLink(id: string, link: Link, target: string): void {
    if (isSession(id)) {
      session.addLink(id, link, target);
      return;
    }
    transaction(() => {
      const { digest, selector, input, output } = link;
      insertLink().run(numberOf(id), digest, selector, input, output, numberOf(target));
    });
  }

  function results(id: string): StoredResult[] {
    if (isSession(id)) return [...session.results(id)];
    return findResults()
      .all(id)
      .map(row => ({ id: text(row, 'result'), createdAt: time(row, 'created_at') }));
  }

  return {
    ids() {
      const rows = allKeys().all();
      return new Set([...rows.map(row => text(row, 'id')), ...session.ids()]);
    },
    has: id => (isSession(id) ? session.has(id) : findKey().get(id) !== undefined),
    targets(id, link) {
      if (isSession(id)) return session.targets(id, link);
      const rows = findTargets().all(id, link.digest, link.selector, link.input, link.output);
      return rows.map(row => text(row, 'id'));
    },
    addLink,
    backlinks(id) {
      const rows = isSession(id) ? [] : findBacklinks().all(id);
      const stored = rows.map(
        (row): Backlink => ({
          from: text(row, 'id'),
          input: Number(row['input']),
          selector: text(row, 'selector'),
          record: recordDigest(text(row, 'digest'), Number(row['output'])),
        }),
      );
      return [...stored, ...session.backlinks(id)];
    },
    results,
    addResult(id, result) {
      if (isSession(id)) session.addResult(id, result);
      else transaction(() => insertResult().run(numberOf(id), result.id, result.createdAt));
    },
    dropResult,
    dropLinks(id) {
      session.dropLinks(id);
      transaction(() => {
        const number = findKey().get(id)?.['number'];
        if (number === undefined) return;
        const targets = findLinked().all(Number(number));
        deleteLinksFrom().run(Number(number));
        for (const row of targets) prune(Number(row['target']));
        prune(Number(number));
      });
    },
    keysOf: resultId => [
      ...findKeysOf()
        .all(resultId)
        .map(row => text(row, 'id')),
      ...session.keysOf(resultId),
    ],
    newId: randomKeyId,
    transaction,
    saveParts(digest, parts) {
      if (stored.has(digest) || isSession(digest)) return;
      stored.add(digest);
      if (hasParts().get(digest) !== undefined) return;
      const json = Buffer.from(JSON.stringify(parts().map(({ kind, name, value }) => [kind, name, value])));
      insertParts().run(digest, json.length < compressFrom ? json : deflateSync(json, { level: 1 }));
    },
    parts(digest) {
      const json = partsText(digest);
      return json === undefined ? undefined : parseParts(json.toString());
    },
    differingParts(one, other) {
      const [a, b] = [partsText(one), partsText(other)];
      return a === undefined || b === undefined ? undefined : withoutCommonEnds(a, b);
    },
    dropMissing(exists) {
      return transaction(() => {
        const missing = allResults()
          .all()
          .map(row => text(row, 'result'))
          .filter(id => !exists(id));
        for (const id of missing) dropResult(id);
        return missing.length;
      });
    },
  };
}

function parseParts(json: string): KeyPart[] {
  const rows: [string, string, string][] = JSON.parse(json);
  return rows.map(([kind, name, value]) => ({ kind, name, value }));
}

/** What ends a row and begins the next one, if a kind follows; a name or value of such characters has a comma or bracket there. */
const BETWEEN_ROWS = '"],["';

function isBetweenRows(json: Buffer, at: number): boolean {
  return !',]'.includes(String.fromCharCode(json[at + BETWEEN_ROWS.length] ?? 0));
}

/** The rows of two lists that are not in the run of equal bytes at their beginnings and ends. */
function withoutCommonEnds(a: Buffer, b: Buffer): [KeyPart[], KeyPart[]] {
  const shorter = Math.min(a.length, b.length);
  const head = commonLength(shorter, (from, to) => a.subarray(from, to).equals(b.subarray(from, to)));
  const tail = commonLength(shorter - head, (from, to) =>
    a.subarray(a.length - to, a.length - from).equals(b.subarray(b.length - to, b.length - from)),
  );
  let start = a.subarray(0, head).lastIndexOf(BETWEEN_ROWS);
  while (start >= 0 && !isBetweenRows(a, start)) start = a.subarray(0, start).lastIndexOf(BETWEEN_ROWS);
  const between = (json: Buffer): KeyPart[] => {
    let end = json.indexOf(BETWEEN_ROWS, json.length - tail);
    while (end >= 0 && !isBetweenRows(json, end)) end = json.indexOf(BETWEEN_ROWS, end + 1);
    const rows = json.toString('utf8', start < 0 ? 1 : start + 3, end < 0 ? json.length - 1 : end + 2);
    return parseParts(`[${rows}]`);
  };
  return [between(a), between(b)];
}

/** The largest length, at most `most`, for which every stretch before it is equal. */
function commonLength(most: number, isEqual: (from: number, to: number) => boolean): number {
  let common = 0;
  for (let step = most; step >= 1; step = Math.floor(step / 2)) {
    while (common + step <= most && isEqual(common, common + step)) common += step;
  }
  return common;
}

function isSession(id: string): boolean {
  return id.startsWith('random:');
}
