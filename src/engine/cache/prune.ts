import { rmSync, statfsSync } from 'node:fs';
import { type CacheStores, type CollectedUsage, collectUsage } from './collect-usage.ts';
import { choosePruned, describePolicy, type PrunePolicy } from './prune-policy.ts';
import { openRemovalLog } from './removals.ts';
import type { UsageRecord } from './usage.ts';

/** How pruning is told the moment and whom it tells what it does. */
export interface PruneOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Free bytes of the disk that the root lies on. */
  readonly free?: () => number;
  /** Told of each record after it is gone. */
  readonly onRemoved?: (record: UsageRecord) => void;
}

/** What pruning did. */
export interface PruneReport {
  readonly removed: readonly UsageRecord[];
  /** Blobs that nothing needed, which go with every pruning. */
  readonly unreferenced: { readonly count: number; readonly size: number };
  /** Bytes. */
  readonly reclaimed: number;
}

/** How many layers are removed at the same time. */
const AT_ONCE = 16;

/** How long removals are remembered, in milliseconds. */
const MEMORY = 90 * 86_400_000;

/**
 * Removes from a root what a policy gives up: layers with the results and keys that need them, cache mounts, git
 * repositories, and blobs that nothing needs any more. Named images stay whole. Only for who holds the store's lock alone
 * (`ownStore`). Each removal is recorded, so that a later miss can name it; a crash in between leaves a smaller cache, never
 * a wrong one. Throws what the stores throw.
 */
export async function pruneCache(
  stores: CacheStores,
  policy: PrunePolicy,
  signal: AbortSignal,
  options: PruneOptions = {},
): Promise<PruneReport> {
  const { now = Date.now, onRemoved = () => undefined } = options;
  const { free = () => freeBytes(stores.content.root) } = options;
  // What crashed processes left behind belongs to nobody.
  stores.layers.sweep();
  const usage = await collectUsage(stores, signal);
  const chosen = choosePruned(usage.records, policy, { now: now(), free: free() });
  forgetResults(stores, usage, chosen, describePolicy(policy), now());
  const before = stores.layers.blobs();
  for (let start = 0; start < chosen.length; start += AT_ONCE) {
    signal.throwIfAborted();
    const batch = chosen.slice(start, start + AT_ONCE);
    for (const { id } of batch) {
      for (const path of usage.kept.get(id)?.paths ?? []) rmSync(path, { recursive: true, force: true });
    }
    await stores.layers.remove(batch.filter(({ id }) => !usage.kept.has(id)).map(({ id }) => id));
    batch.forEach(onRemoved);
  }
  // Blobs of layers that are gone now are counted with them.
  const after = stores.layers.blobs();
  const named = usage.imageBlobs;
  for (const digest of before) if (!after.has(digest) && !named.has(digest)) stores.content.delete(digest);
  for (const digest of usage.unreferenced.digests) stores.content.delete(digest);
  const { digests, size } = usage.unreferenced;
  return {
    removed: chosen,
    unreferenced: { count: digests.length, size },
    reclaimed: chosen.reduce((total, record) => total + record.size, size),
  };
}

/** Writes down what goes, and forgets the results that need it: rows go before files, so none points at what is not there. */
function forgetResults(
  { database }: CacheStores,
  usage: CollectedUsage,
  chosen: readonly UsageRecord[],
  rule: string,
  removedAt: number,
): void {
  const log = openRemovalLog(database);
  const gone = new Set(chosen.map(({ id }) => id));
  database.transaction(() => {
    const namesOf = new Map<string, string[]>();
    for (const { id, names, layers } of usage.results) {
      if (layers !== undefined && !layers.some(layer => gone.has(layer))) continue;
      for (const layer of layers ?? []) {
        if (gone.has(layer)) namesOf.set(layer, [...(namesOf.get(layer) ?? []), id, ...names]);
      }
      usage.keys.dropResult(id);
    }
    for (const { id, type, description, size, lastUsedAt } of chosen) {
      log.add({ removedAt, rule, id, type, description, size, lastUsedAt }, namesOf.get(id) ?? []);
    }
    log.forget(removedAt - MEMORY);
  });
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}
