/** Lines of a Dockerfile, counted from 1, both ends included. */
export interface LineRange {
  readonly start: number;
  readonly end: number;
}

/** A place in a Dockerfile: line from 1, column in UTF-16 code units from 1. */
export interface SourcePosition {
  readonly line: number;
  readonly column: number;
}

/** Where a piece of a logical line comes from: the code units from `offset` on stand at `position`. */
export interface SourceSegment {
  readonly offset: number;
  readonly position: SourcePosition;
}

/** Where the code unit at `offset` of a logical line stands in the file. `segments` are those of its node. */
export function positionAt(segments: readonly SourceSegment[], offset: number): SourcePosition {
  let low = 0;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((segments[middle]?.offset ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  const segment = segments[low];
  if (segment === undefined) return { line: 1, column: 1 };
  const { line, column } = segment.position;
  return { line, column: column + offset - segment.offset };
}
