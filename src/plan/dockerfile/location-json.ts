import type { LineRange } from './source.ts';

/** A place as the results of requests give it: one range per line. */
export interface LocationJson {
  readonly ranges?: readonly { readonly start: PositionJson; readonly end: PositionJson }[];
}

interface PositionJson {
  /** Left out for line 0. */
  readonly line?: number;
}

/** The JSON form of a place; an empty object for none. */
export function locationJson(lines: LineRange | undefined): LocationJson {
  if (lines === undefined) return {};
  const ranges = [];
  for (let line = lines.start; line <= Math.max(lines.start, lines.end); line++) {
    const position = line === 0 ? {} : { line };
    ranges.push({ start: position, end: position });
  }
  return { ranges };
}
