import { parseUsageFilter, type UsageFilter, UsageFilterError } from '../../engine/cache/usage-filter.ts';
import { UsageError } from './errors.ts';
import { parseDuration } from './units.ts';

/** What `--filter` asks for. */
export interface UsageOptions {
  readonly filter: UsageFilter | undefined;
  /** Milliseconds that records were not used for. */
  readonly unusedFor: number | undefined;
}

/**
 * Reads the values of `--filter`: all must hold. `until` and `unused-for` are ages, the rest is about records.
 * @throws UsageError
 */
export function parseUsageOptions(values: readonly string[]): UsageOptions {
  const filters: UsageFilter[] = [];
  let unusedFor: number | undefined;
  for (const value of values) {
    const age = /^(?:until|unused-for)=(.*)$/.exec(value)?.[1];
    if (age !== undefined) unusedFor = Math.max(unusedFor ?? 0, parseDuration(age, `--filter ${value}:`));
    else filters.push(readFilter(value));
  }
  return {
    filter: filters.length === 0 ? undefined : record => filters.every(filter => filter(record)),
    unusedFor,
  };
}

function readFilter(value: string): UsageFilter {
  try {
    return parseUsageFilter(value);
  } catch (error) {
    if (error instanceof UsageFilterError) throw new UsageError(`--${error.message}`, { cause: error });
    throw error;
  }
}
