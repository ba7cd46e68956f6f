/** Which records a cache gives up (control-api facts of BuildKit, section 7). Pure: values in, values out. */
import type { UsageRecord } from './usage.ts';
import type { UsageFilter } from './usage-filter.ts';

/** What is to be removed. Sizes are bytes; without any of the three limits everything that qualifies goes. */
export interface PrunePolicy {
  /** A rule of a daemon, which nobody asked for at the moment. */
  readonly isAutomatic?: true;
  /** Also what named images consist of, and what the engine keeps for itself. */
  readonly all: boolean;
  readonly filter?: UsageFilter;
  /** Only what was not used for this many milliseconds. */
  readonly unusedFor?: number;
  /** Never go below this. */
  readonly reservedSpace?: number;
  /** Go down to this. */
  readonly maxUsedSpace?: number;
  /** Go down until this much of the disk is free. */
  readonly minFreeSpace?: number;
}

/** What is known of the moment. */
export interface PruneMoment {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Free bytes of the disk. */
  readonly free: number;
}

/**
 * The records to remove, in order: those that were used longest ago first, none before those that stand on it.
 * A record that is in use, or that something else still stands on, stays, even if it qualifies itself.
 */
export function choosePruned(records: readonly UsageRecord[], policy: PrunePolicy, moment: PruneMoment): UsageRecord[] {
  const counted = records.filter(record => policy.all || !isKept(record));
  let used = counted.reduce((sum, { size }) => sum + size, 0);
  const target = targetOf(used, policy, moment);
  const { filter, unusedFor = 0 } = policy;
  const qualifies = (record: UsageRecord) =>
    record.inUse !== true &&
    (unusedFor <= 0 || moment.now - record.lastUsedAt > unusedFor) &&
    (filter?.(record) ?? true);
  const users = countUsers(records);
  const chosen: UsageRecord[] = [];
  let waiting = counted.filter(qualifies).sort((a, b) => a.lastUsedAt - b.lastUsedAt);
  for (let before = -1; before !== waiting.length && used > target; ) {
    before = waiting.length;
    const kept: UsageRecord[] = [];
    for (const record of waiting) {
      if (used <= target || (users.get(record.id) ?? 0) > 0) {
        kept.push(record);
        continue;
      }
      chosen.push(record);
      used -= record.size;
      for (const parent of record.parents) users.set(parent, (users.get(parent) ?? 1) - 1);
    }
    waiting = kept;
  }
  return chosen;
}

/** The rule that removes, in words: what a later miss can say. */
export function describePolicy(policy: PrunePolicy): string {
  const { isAutomatic, all, unusedFor, reservedSpace, maxUsedSpace, minFreeSpace } = policy;
  const clauses = [isAutomatic ? 'garbage collection' : all ? 'prune --all' : 'prune'];
  if (unusedFor !== undefined) clauses.push(`unused for ${Math.round(unusedFor / 360_000) / 10} h`);
  if (maxUsedSpace !== undefined) clauses.push(`keep at most ${gigabytes(maxUsedSpace)}`);
  if (reservedSpace !== undefined) clauses.push(`keep ${gigabytes(reservedSpace)}`);
  if (minFreeSpace !== undefined) clauses.push(`leave ${gigabytes(minFreeSpace)} free`);
  return clauses.join(', ');
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${Math.round(bytes / 1e5) / 10} MB` : `${Math.round(bytes / 1e8) / 10} GB`;
}

function isKept(record: UsageRecord): boolean {
  return record.shared || record.type === 'internal';
}

/** The size to come down to; below zero, so that records without a size go too, when there is no limit. */
function targetOf(used: number, policy: PrunePolicy, { free }: PruneMoment): number {
  const { reservedSpace, maxUsedSpace, minFreeSpace } = policy;
  if (reservedSpace === undefined && maxUsedSpace === undefined && minFreeSpace === undefined) return -1;
  const lacking = Math.max(0, (minFreeSpace ?? 0) - free);
  const wanted = [maxUsedSpace, lacking > 0 ? used - lacking : undefined].filter(size => size !== undefined);
  if (wanted.length === 0) return minFreeSpace === undefined ? (reservedSpace ?? 0) : used;
  return Math.max(Math.min(...wanted), reservedSpace ?? 0);
}

function countUsers(records: readonly UsageRecord[]): Map<string, number> {
  const users = new Map<string, number>();
  for (const parent of records.flatMap(record => record.parents)) users.set(parent, (users.get(parent) ?? 0) + 1);
  return users;
}
