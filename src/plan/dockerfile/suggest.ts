const MAX_DISTANCE = 2;

/**
 * The candidate nearest to `text` by edits (Levenshtein, at most two), the first of equals; undefined if none is near or
 * one is `text` itself. Without `caseSensitive` the answer takes the case of `text` if that is all lower or all upper.
 */
export function suggest(
  text: string,
  candidates: readonly string[],
  options: { caseSensitive: boolean },
): string | undefined {
  const { caseSensitive } = options;
  const wanted = caseSensitive ? text : text.toLowerCase();
  let nearest: string | undefined;
  let distance = MAX_DISTANCE + 1;
  for (const given of candidates) {
    const candidate = caseSensitive ? given : given.toLowerCase();
    if (candidate === wanted) return undefined;
    const edits = editDistance(wanted, candidate);
    if (edits >= distance) continue;
    distance = edits;
    nearest = candidate;
  }
  if (nearest === undefined || caseSensitive || text === text.toLowerCase()) return nearest;
  return text === text.toUpperCase() ? nearest.toUpperCase() : nearest;
}

/** `message` with ` (did you mean X?)` if suggest finds an X. */
export function withSuggestion(
  message: string,
  text: string,
  candidates: readonly string[],
  options: { caseSensitive: boolean } = { caseSensitive: true },
): string {
  const suggestion = suggest(text, candidates, options);
  return suggestion ? `${message} (did you mean ${suggestion}?)` : message;
}

/** The edits between two texts, counted by code points; beyond the limit only that it is beyond. */
function editDistance(left: string, right: string): number {
  const a = Array.from(left);
  const b = Array.from(right);
  if (Math.abs(a.length - b.length) > MAX_DISTANCE) return MAX_DISTANCE + 1;
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [index, char] of a.entries()) {
    const next = [index + 1];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (char === b[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
