/** What an exported cache says of itself, in annotations of its manifest, which BuildKit does not look at. */

import type { Timestamp } from '../../status/event.ts';
import { formatTimestamp } from '../../status/timestamp.ts';
import { timestampOf } from '../timestamp.ts';
import type { CacheBase, CacheOrigin } from './port.ts';

const prefix = 'io.outcrop.cache.';

/** A cache's own words; BuildKit's caches have none. */
export interface CacheAbout extends CacheOrigin {
  readonly exportedAt?: Timestamp;
}

/** The annotations of a manifest that is written now. */
export function aboutAnnotations({ builder, bases }: CacheOrigin, now: Timestamp): Record<string, string> {
  return {
    [`${prefix}bases`]: JSON.stringify(
      bases.map(({ name, digest, resolvedAt }) => ({ name, digest, resolvedAt: formatTimestamp(resolvedAt) })),
    ),
    [`${prefix}builder`]: builder,
    [`${prefix}exported-at`]: formatTimestamp(now),
  };
}

/** Reads annotations of a manifest; undefined when they say nothing. */
export function readAbout(annotations: Readonly<Record<string, string>> = {}): CacheAbout | undefined {
  const builder = annotations[`${prefix}builder`];
  if (builder === undefined) return undefined;
  const exportedAt = timestampOf(annotations[`${prefix}exported-at`]);
  return {
    builder,
    bases: readBases(annotations[`${prefix}bases`]),
    ...(exportedAt === undefined ? {} : { exportedAt }),
  };
}

function readBases(text = '[]'): CacheBase[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown): CacheBase[] => {
    const { name, digest, resolvedAt }: Partial<Record<string, unknown>> = Object(entry);
    const time = typeof resolvedAt === 'string' ? timestampOf(resolvedAt) : undefined;
    if (typeof name !== 'string' || typeof digest !== 'string' || time === undefined) return [];
    return [{ name, digest, resolvedAt: time }];
  });
}

/** The bases of both, each name as it was found last. */
export function mergeBases(before: readonly CacheBase[], now: readonly CacheBase[]): CacheBase[] {
  const byName = new Map(before.map(base => [`${base.name} ${base.digest}`, base]));
  for (const base of now) byName.set(`${base.name} ${base.digest}`, base);
  return [...byName.values()];
}
