/** What a cache keeps and what it takes: what `du` shows and `prune` chooses from. */

/** What kind of thing takes space (BuildKit's record types). */
export type UsageType = 'regular' | 'internal' | 'source.local' | 'source.git.checkout' | 'exec.cachemount';

/** One thing that a cache keeps and that can be removed alone. */
export interface UsageRecord {
  readonly id: string;
  readonly type: UsageType;
  /** The step that made it, or what it is. */
  readonly description: string;
  /** Bytes that its removal gives back. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** Whether steps write to it. */
  readonly mutable: boolean;
  /** Whether a named image consists of it. */
  readonly shared: boolean;
  /** Whether a build that runs may need it; absent where nobody can tell. */
  readonly inUse?: boolean;
  /** The records that this one stands on: it is of no use without them. */
  readonly parents: readonly string[];
}

/** What all records come to, in bytes. */
export interface UsageTotals {
  readonly shared: number;
  readonly private: number;
  readonly total: number;
}

/** Adds up what records take. */
export function usageTotals(records: readonly UsageRecord[]): UsageTotals {
  let shared = 0;
  let total = 0;
  for (const record of records) {
    total += record.size;
    if (record.shared) shared += record.size;
  }
  return { shared, private: total - shared, total };
}
