/** Lists of paths to checksum, and what BuildKit drops from them. */
/** A path as an op names it, and how it is checksummed. `wildcard` says that it may be one. */
export interface Selector {
  readonly path: string;
  readonly followLinks: boolean;
  readonly wildcard: boolean;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly required: readonly string[];
}

/** A path without wildcard and patterns. */
export function plainSelector(path: string, followLinks: boolean): Selector {
  return { path, followLinks, wildcard: false, include: [], exclude: [], required: [] };
}

/** Joins with `/` and cleans as Go's `path.Join("/", path)`. */
export function absolutePath(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

/** The selector with its path absolute and clean, as it is checksummed. */
export function absoluteSelector(selector: Selector): Selector {
  return { ...selector, path: absolutePath(selector.path) };
}

/** Orders strings by their UTF-8 bytes. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The paths made unique, without those below another one, sorted by bytes. A list of one stays as it is. The comparison is
 * of texts: `.` is no parent of `a`.
 */
export function dedupePaths(paths: readonly string[]): readonly string[] {
  if (paths.length <= 1) return paths;
  const unique = [...new Set(paths)];
  return unique
    .filter(path => !unique.some(other => other !== path && path.startsWith(other.endsWith('/') ? other : `${other}/`)))
    .sort(compareBytes);
}
