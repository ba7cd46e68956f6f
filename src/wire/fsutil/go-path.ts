const SPACE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const AROUND = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, 'gu');

/**
 * `text` without white space at both ends, white space as Go's `unicode.IsSpace` defines it: unlike `trim()`, U+0085 is in
 * and U+FEFF is not.
 */
export function trimGoSpace(text: string): string {
  return text.replace(AROUND, '');
}

/**
 * The shortest path that names the same place by its text alone (Go's `path.Clean`): no empty or `.` elements, `..` takes
 * back the element before it and stops at `/`, no final `/`. The empty path is `.`.
 */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/');
  const kept: string[] = [];
  for (const element of path.split('/')) {
    if (element === '' || element === '.') continue;
    if (element !== '..') kept.push(element);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!rooted) kept.push('..');
  }
  if (rooted) return `/${kept.join('/')}`;
  return kept.length === 0 ? '.' : kept.join('/');
}
