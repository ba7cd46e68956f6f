import type { Database } from '../../store/database.ts';
import { recordDigest } from '../solver/key.ts';
import { sqliteKeyStore } from './sqlite-key-store.ts';
import { stepName } from './step-name.ts';

/** Names the steps behind records of a cache, as far as builds on this root had the same: a record's digest → a step. */
export function knownSteps(database: Database): (record: string) => string | undefined {
  const keys = sqliteKeyStore(database);
  const rows = database.sql.prepare('SELECT DISTINCT digest, output FROM cache_link').all();
  const digests = new Map<string, string>();
  for (const row of rows) {
    const digest = String(row['digest']);
    digests.set(recordDigest(digest, Number(row['output'])), digest);
  }
  return record => {
    const parts = keys.parts(digests.get(record) ?? record);
    return parts === undefined ? undefined : stepName(parts);
  };
}
