import type { Database } from '../../store/database.ts';
import { recordDigest } from '../solver/key.ts';
import type { SqliteKeyStore } from './sqlite-key-store.ts';
import { stepName } from './step-name.ts';

/** A result of the local cache and all that it is known by. */
export interface StoredResultNames {
  readonly id: string;
  /** What a look-up could ask for: the ids of its keys, the digests of its steps' keys, and those as record digests. */
  readonly names: readonly string[];
  /** The step that made it. */
  readonly step: string | undefined;
}

/** All results of the local cache. */
export function storedResults(database: Database, keys: SqliteKeyStore): StoredResultNames[] {
  const rows = database.sql
    .prepare(
      `SELECT result.result, key.id, link.digest, link.output FROM cache_result AS result
         JOIN cache_key AS key ON key.number = result.key
         LEFT JOIN cache_link AS link ON link.target = key.number
       ORDER BY result.result`,
    )
    .all();
  const found = new Map<string, { names: Set<string>; step: string | undefined }>();
  for (const row of rows) {
    const id = String(row['result']);
    const entry = found.get(id) ?? { names: new Set(), step: undefined };
    found.set(id, entry);
    entry.names.add(String(row['id']));
    if (typeof row['digest'] !== 'string') continue;
    entry.names.add(row['digest']).add(recordDigest(row['digest'], Number(row['output'])));
    const parts = entry.step === undefined ? keys.parts(row['digest']) : undefined;
    if (parts !== undefined) entry.step = stepName(parts);
  }
  return [...found].map(([id, { names, step }]) => ({ id, names: [...names], step }));
}
