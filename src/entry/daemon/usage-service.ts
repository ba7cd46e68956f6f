import type { MessageInitShape } from '@bufbuild/protobuf';
import { type CacheStores, type CollectedUsage, collectUsage } from '../../engine/cache/collect-usage.ts';
import { type PruneReport, pruneCache } from '../../engine/cache/prune.ts';
import type { PrunePolicy } from '../../engine/cache/prune-policy.ts';
import { snapshotResults } from '../../engine/cache/snapshot-results.ts';
import type { UsageRecord } from '../../engine/cache/usage.ts';
import { parseUsageFilter, type UsageFilter, UsageFilterError } from '../../engine/cache/usage-filter.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { DiskUsageRequest, PruneRequest, UsageRecordSchema } from '../../wire/proto/gen/control/control_pb.ts';
import type { Engine } from '../builder/engine.ts';
import type { DaemonServices } from './daemon-services.ts';
import { timestampMessage } from './wire-values.ts';
import type { GcPolicy } from './worker.ts';

type UsageMessage = MessageInitShape<typeof UsageRecordSchema>;

/** What the cache of the daemon keeps, as `buildctl du` asks for it. Throws StatusError for a filter that means nothing. */
export async function diskUsage(
  services: DaemonServices,
  request: DiskUsageRequest,
  signal: AbortSignal,
): Promise<UsageMessage[]> {
  const filter = readFilters(request.filter);
  const ageLimit = Number(request.ageLimit / 1_000_000n);
  const { records } = await collectDaemonUsage(services, signal);
  const now = Date.now();
  return records
    .filter(record => filter(record) && (ageLimit <= 0 || now - record.lastUsedAt > ageLimit))
    .map(record => usageMessage(record, true));
}

/** Removes what a client gives up; what goes is told as it goes. Throws StatusError for a filter that means nothing. */
export async function* prune(
  services: DaemonServices,
  request: PruneRequest,
  signal: AbortSignal,
): AsyncGenerator<UsageMessage> {
  const policy: PrunePolicy = {
    all: request.all,
    filter: readFilters(request.filter),
    ...(request.keepDuration > 0n ? { unusedFor: Number(request.keepDuration / 1_000_000n) } : {}),
    ...limit('reservedSpace', request.reservedSpace),
    ...limit('maxUsedSpace', request.maxUsedSpace),
    ...limit('minFreeSpace', request.minFreeSpace),
  };
  const { removed } = await pruneDaemonCache(services, policy, signal);
  for (const record of removed) yield usageMessage(record, false);
}

/** All that the cache keeps. */
export function collectDaemonUsage({ engine }: DaemonServices, signal: AbortSignal): Promise<CollectedUsage> {
  return collectUsage(cacheStores(engine), signal, usedLayers(engine));
}

/** Removes what a policy gives up and no build uses. */
export function pruneDaemonCache(
  { engine, gate }: DaemonServices,
  policy: PrunePolicy,
  signal: AbortSignal,
): Promise<PruneReport> {
  return gate.prune(isAlone => pruneEngine(engine, policy, isAlone, signal), signal);
}

function pruneEngine(engine: Engine, policy: PrunePolicy, isAlone: boolean, signal: AbortSignal): Promise<PruneReport> {
  const beside = isAlone ? {} : { inUse: () => usedLayers(engine) };
  return pruneCache(cacheStores(engine), policy, signal, beside);
}

/** How long other processes that use the store are waited for, in milliseconds, by what can as well be done later. */
const PATIENCE = 2000;

/**
 * Removes what a rule gives up by itself; nothing when other processes keep the store to themselves.
 * @returns bytes that were removed
 */
export async function collectGarbage(
  { engine, gate }: DaemonServices,
  { all, filters, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace }: GcPolicy,
  signal: AbortSignal,
): Promise<number> {
  const policy: PrunePolicy = {
    isAutomatic: true,
    all,
    filter: readFilters(filters),
    ...(keepDuration > 0 ? { unusedFor: keepDuration } : {}),
    ...limit('reservedSpace', BigInt(Math.round(reservedSpace))),
    ...limit('maxUsedSpace', BigInt(Math.round(maxUsedSpace))),
    ...limit('minFreeSpace', BigInt(Math.round(minFreeSpace))),
  };
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE);
  try {
    const { reclaimed } = await gate.prune(
      isAlone => {
        clearTimeout(timer);
        return pruneEngine(engine, policy, isAlone, signal);
      },
      AbortSignal.any([signal, late.signal]),
    );
    return reclaimed;
  } catch (error) {
    if (late.signal.aborted && !signal.aborted) return 0;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a build that runs may now need a layer: one that it came upon, or that a result of one of its steps stands on. */
function usedLayers({ layers, solver }: Engine): (layer: string) => boolean {
  const results = new Set(solver.results().flatMap(ref => (ref.kind === 'snapshot' ? ref.layers : [])));
  return layer => results.has(layer) || layers.isHeld(layer);
}

/** The stores of an engine as usage and pruning take them. */
function cacheStores({ root, database, content, images, layers }: Engine): CacheStores {
  const { layersOf } = snapshotResults(layers);
  return { database, content, images, layers, layersOf, directories: rootLayout(root) };
}

function limit<K extends string>(key: K, bytes: bigint): { [P in K]?: number } {
  return bytes > 0n ? ({ [key]: Number(bytes) } as { [P in K]?: number }) : {};
}

/** Filters of which any is enough. */
function readFilters(texts: readonly string[]): UsageFilter {
  try {
    const filters = texts.map(parseUsageFilter);
    return record => filters.length === 0 || filters.some(filter => filter(record));
  } catch (cause) {
    if (!(cause instanceof UsageFilterError)) throw cause;
    throw new StatusError(Code.unknown, cause.message, { cause });
  }
}

function usageMessage(record: UsageRecord, whole: boolean): UsageMessage {
  return {
    ID: record.id,
    Mutable: record.mutable,
    InUse: record.inUse ?? false,
    Size: BigInt(record.size),
    Parents: [...record.parents],
    CreatedAt: timestampMessage(BigInt(Math.round(record.createdAt)) * 1_000_000n),
    LastUsedAt: timestampMessage(BigInt(Math.round(record.lastUsedAt)) * 1_000_000n),
    UsageCount: 1n,
    Description: record.description,
    ...(whole ? { RecordType: record.type, Shared: record.shared } : {}),
  };
}
