import type { UsageRecord } from '../../engine/cache/usage.ts';
import { textTable } from './table.ts';
import { formatAge, formatBytes } from './units.ts';

/** How many characters of an id are shown. */
const SHOWN = 25;

/** Records as `docker buildx du` shows them, largest first; a star marks what steps write to. */
export function usageTable(records: readonly UsageRecord[], now: number): string {
  const rows = bySize(records).map(record => [
    `${record.id.slice(0, SHOWN)}${record.mutable ? '*' : ''}`,
    String(!record.shared),
    formatBytes(record.size),
    `${formatAge(Math.max(0, now - record.lastUsedAt))} ago`,
    shorten(record.description),
  ]);
  return textTable(['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED', 'WHAT'], rows);
}

/** Each record in full, a line for each thing that is known of it. */
export function usageBlocks(records: readonly UsageRecord[], now: number): string {
  return bySize(records)
    .map(record => {
      const lines: [string, string][] = [
        ['ID', record.id],
        ...record.parents.map((parent): [string, string] => ['Parent', parent]),
        ['Created at', new Date(record.createdAt).toISOString()],
        ['Mutable', String(record.mutable)],
        ['Reclaimable', String(!record.shared)],
        ['Shared', String(record.shared)],
        ['Size', formatBytes(record.size)],
        ['Description', record.description],
        ['Last used', `${formatAge(Math.max(0, now - record.lastUsedAt))} ago`],
        ['Type', record.type],
      ];
      return lines.map(([title, value]) => `${`${title}:`.padEnd(16)}${value}\n`).join('');
    })
    .join('\n');
}

/** Lines such as `Total:  1.2GB`, their values in one column. */
export function totalLines(totals: readonly (readonly [title: string, bytes: number])[]): string {
  return totals.map(([title, bytes]) => `${`${title}:`.padEnd(16)}${formatBytes(bytes)}\n`).join('');
}

function bySize(records: readonly UsageRecord[]): UsageRecord[] {
  return records.toSorted((a, b) => b.size - a.size || (a.id < b.id ? -1 : 1));
}

function shorten(text: string): string {
  const [line = ''] = text.split('\n');
  return line.length > 40 ? `${line.slice(0, 39)}…` : line;
}
