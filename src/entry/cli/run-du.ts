import { type CacheUsage, collectUsage } from '../../engine/cache/collect-usage.ts';
import { type UsageRecord, usageTotals } from '../../engine/cache/usage.ts';
import { openCache } from './open-cache.ts';
import { parseUsageOptions } from './usage-options.ts';
import { totalLines, usageBlocks, usageTable } from './usage-table.ts';

/** Flags of `outcrop du`. */
export interface DuFlags {
  readonly filter: readonly string[];
  readonly verbose?: true;
  readonly json?: true;
}

const NOTHING: CacheUsage = {
  records: [],
  images: { names: 0, size: 0 },
  unreferenced: { digests: [], size: 0 },
};

/** What `outcrop du` prints. @param now Milliseconds since the epoch. @throws UsageError for a filter that means nothing. */
export async function runDu(flags: DuFlags, root?: string, now: number = Date.now()): Promise<string> {
  const { filter, unusedFor = 0 } = parseUsageOptions(flags.filter);
  await using stores = openCache(root);
  const usage = stores ? await collectUsage(stores, new AbortController().signal) : NOTHING;
  const fits = (record: UsageRecord) => now - record.lastUsedAt >= unusedFor && (filter?.(record) ?? true);
  const records = [...usage.records, ...unreferencedRecord(usage, now)].filter(fits);
  if (flags.json) return records.map(jsonOf).join('');
  const table = flags.verbose ? `${usageBlocks(records, now)}\n` : usageTable(records, now);
  const { shared, private: own, total } = usageTotals(records);
  return (
    table +
    totalLines([
      ...(shared > 0 ? [['Shared', shared] as const, ['Private', own] as const] : []),
      ['Reclaimable', own],
      ['Total', total],
      ...(usage.images.names > 0 && !flags.filter.length ? [['Images', usage.images.size] as const] : []),
    ])
  );
}

/** Blobs that nothing needs are shown as one record: every pruning removes them. */
function unreferencedRecord({ unreferenced: { digests, size } }: CacheUsage, now: number): UsageRecord[] {
  if (digests.length === 0) return [];
  const blobs = digests.length === 1 ? '1 blob' : `${digests.length} blobs`;
  return [
    {
      id: 'unreferenced',
      type: 'regular',
      description: `${blobs} that nothing needs`,
      size,
      createdAt: now,
      lastUsedAt: now,
      mutable: false,
      shared: false,
      parents: [],
    },
  ];
}

function jsonOf(record: UsageRecord): string {
  const { id, type, description, size, mutable, shared, parents } = record;
  return `${JSON.stringify({
    id,
    type,
    description,
    size,
    createdAt: new Date(record.createdAt).toISOString(),
    lastUsedAt: new Date(record.lastUsedAt).toISOString(),
    mutable,
    shared,
    reclaimable: !shared,
    parents,
  })}\n`;
}
