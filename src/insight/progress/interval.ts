import type { Timestamp } from '../../engine/status/event.ts';

/** A time in which a vertex ran; without `stop` it still runs. */
export interface Interval {
  readonly start: Timestamp;
  readonly stop?: Timestamp;
}

/** Intervals by start, those that touch or overlap made one; an open one swallows all after it. */
export function mergeIntervals(intervals: Iterable<Interval>): readonly Interval[] {
  const sorted = [...intervals].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const merged: Interval[] = [];
  for (const next of sorted) {
    const last = merged.at(-1);
    if (last === undefined || (last.stop !== undefined && last.stop < next.start)) merged.push(next);
    else if (last.stop === undefined) break;
    else if (next.stop === undefined) merged[merged.length - 1] = { start: last.start };
    else if (next.stop > last.stop) merged[merged.length - 1] = { start: last.start, stop: next.stop };
  }
  return merged;
}

/** The sum of the intervals in nanoseconds, open ones running until `now`. */
export function totalDuration(intervals: readonly Interval[], now: Timestamp): bigint {
  return intervals.reduce((sum, { start, stop }) => sum + ((stop ?? now) - start), 0n);
}
