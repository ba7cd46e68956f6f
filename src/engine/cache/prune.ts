import { rmSync, statfsSync } from 'node:fs';
import type { LayerID } from '../../store/snapshot/layer-records.ts';
import { type CacheStores, type CollectedUsage, collectUsage } from './collect-usage.ts';
import type { KeptDirectory } from './kept-directories.ts';
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
  /**
   * Set when builds of this process go on: which layers one of them may need now. It is asked anew before anything goes.
   * Blobs that nothing needs stay then, for they may be in the making.
   */
  readonly inUse?: () => (layer: LayerID) => boolean;
}

/** What pruning did. */
export interface PruneReport {
  readonly removed: readonly UsageRecord[];
  /** Blobs that nothing needed, which go with every pruning. */
  readonly unreferenced: { readonly count: number; readonly size: number };
  /** Bytes. */
  readonly reclaimed: number;
}

/** Does not speak of builds when there are none. */
const UNUSED = () => () => false;

/** How many layers are removed at the same time. */
const AT_ONCE = 16;

/** How long removals are remembered, in milliseconds. */
const MEMORY = 90 * 86_400_000;

/**
 * Removes from a root what a policy gives up: layers with the results and keys that need them, cache mounts, git
 * repositories, and blobs that nothing needs any more. Named images stay whole. Only for who holds the store's lock alone
 * (`ownStore`), or beside its own builds (`ownStoreBesideBuilds`), which then keep what they use. Each removal is recorded, so that a later miss can name it; a crash in between leaves a smaller cache, never
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
  const isAlone = options.inUse === undefined;
  const { inUse = UNUSED } = options;
  // What crashed processes left behind belongs to nobody.
  if (isAlone) stores.layers.sweep();
  const usage = await collectUsage(stores, signal);
  const isUsed = inUse();
  const records = usage.records.map(record => (isUsed(record.id) ? { ...record, inUse: true } : record));
  const chosen = choosePruned(records, policy, { now: now(), free: free() });
  // Nothing may come between the choice and this: what no result leads to any more, no build comes upon.
  forgetResults(stores, usage, chosen, describePolicy(policy), now());
  const before = stores.layers.blobs();
  const removed: UsageRecord[] = [];
  /** What those need that stay after all. */
  const needed = new Set<string>();
  for (let start = 0; start < chosen.length; start += AT_ONCE) {
    signal.throwIfAborted();
    const batch: UsageRecord[] = [];
    for (const record of chosen.slice(start, start + AT_ONCE)) {
      if (await removeKept(usage.kept.get(record.id), isAlone, signal)) batch.push(record);
    }
    const isUsedNow = inUse();
    const gone = batch.filter(record => {
      const stays = !usage.kept.has(record.id) && (needed.has(record.id) || isUsedNow(record.id));
      if (stays) for (const parent of record.parents) needed.add(parent);
      return !stays;
    });
    await stores.layers.remove(gone.filter(({ id }) => !usage.kept.has(id)).map(({ id }) => id));
    gone.forEach(onRemoved);
    removed.push(...gone);
  }
  // Blobs of layers that are gone now are counted with them.
  const after = stores.layers.blobs();
  const named = usage.imageBlobs;
  for (const digest of before) if (!after.has(digest) && !named.has(digest)) stores.content.delete(digest);
  const { digests, size } = isAlone ? usage.unreferenced : { digests: [], size: 0 };
  for (const digest of digests) stores.content.delete(digest);
  stores.database.transaction(() => stores.images.forgetOrigins(digest => stores.content.has(digest)));
  return {
    removed,
    unreferenced: { count: digests.length, size },
    reclaimed: removed.reduce((total, record) => total + record.size, size),
  };
}

/** Removes a directory that is kept beside the layers. @returns false when somebody uses it */
async function removeKept(kept: KeptDirectory | undefined, isAlone: boolean, signal: AbortSignal): Promise<boolean> {
  if (kept === undefined) return true;
  if (!isAlone) return kept.removeUnused(signal);
  for (const path of kept.paths) rmSync(path, { recursive: true, force: true });
  return true;
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
