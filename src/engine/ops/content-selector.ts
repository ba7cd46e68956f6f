/** Lists of paths to checksum, and what BuildKit drops from them. */
import type { ChecksumRequest } from './op-context.ts';

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

/** What the checksum service is asked for a selector. */
export function checksumRequest(selector: Selector): ChecksumRequest {
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

/** Whether a path has a `*`, `?` or `[` that no backslash escapes. */
export function containsWildcards(path: string): boolean {
  for (let index = 0; index < path.length; index++) {
    const character = path[index];
    if (character === '\\') index++;
    else if (character === '*' || character === '?' || character === '[') return true;
  }
  return false;
}
