import type { Timestamp } from './event.ts';

const SECOND = 1_000_000_000n;

/** Nanoseconds since the epoch as RFC 3339 in UTC, with as many decimals as are needed, up to nine. */
export function formatTimestamp(time: Timestamp): string {
  const nanoseconds = ((time % SECOND) + SECOND) % SECOND;
  const seconds = new Date(Number((time - nanoseconds) / 1_000_000n)).toISOString().slice(0, 19);
  const decimals = nanoseconds.toString().padStart(9, '0').replace(/0+$/, '');
  return `${seconds}${decimals === '' ? '' : `.${decimals}`}Z`;
}
