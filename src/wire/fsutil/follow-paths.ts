import { fromBytePath, toBytePath } from './byte-path.ts';
import { cleanPath } from './go-path.ts';
import { compilePathPattern, hasPathWildcard, PatternSyntaxError } from './path-match.ts';
import type { ReadableTree, TreeEntry } from './tree.ts';

/**
 * Include patterns with the paths that a transfer follows added (fsutil's rules): each path with every link that is met on
 * the way and what these lead to. The root among the paths adds nothing: everything is wanted then.
 */
export function followedPatterns<E extends TreeEntry>(
  tree: ReadableTree<E>,
  include: readonly string[],
  followPaths: readonly string[] | undefined,
): readonly string[] {
  if (followPaths === undefined) return include;
  const followed = withoutNested(resolveFollowPaths(tree, followPaths));
  return followed === undefined ? include : (withoutNested([...include, ...followed]) ?? []);
}

/** The paths, and every link on the way to what they name. Sorted; `.` is the root. */
function resolveFollowPaths<E extends TreeEntry>(tree: ReadableTree<E>, paths: readonly string[]): string[] {
  const resolved = new Set<string>();
  for (const path of paths) follow(path);
  return [...resolved].map(toBytePath).sort().map(fromBytePath);

  function follow(path: string): void {
    const names = cleanPath(`./${path}`).split('/');
    let current = '';
    for (const [index, name] of names.entries()) {
      current = index === 0 ? name : `${current}/${name}`;
      const rest = names.slice(index + 1).join('/');
      const targets = linkTargets(current);
      if (targets.length === 0 && rest !== '') continue;
      if (resolved.has(current)) return;
      resolved.add(current);
      for (const target of targets) follow(`${target}/${rest}`);
      return;
    }
  }

  /** Where the link at `path` leads, or, if its last name is a wildcard, the links that this matches. */
  function linkTargets(path: string): string[] {
    const slash = path.lastIndexOf('/');
    const parent = path.slice(0, Math.max(slash, 0));
    const base = path.slice(slash + 1);
    if (base === '.' || base === '..') return [];
    const directory = lookUp(parent);
    if (directory?.type !== 'dir') return [];
    const matches = hasPathWildcard(base)
      ? matchingChildren(directory, base)
      : [tree.child(directory, toBytePath(base))].filter(entry => entry !== undefined);
    return matches
      .filter(entry => entry.type === 'symlink')
      .map(link => {
        const target = fromBytePath(tree.readlink(link));
        return target.startsWith('/') ? cleanPath(target) : cleanPath(`/${parent}/${target}`);
      });
  }

  function matchingChildren(directory: E, pattern: string): E[] {
    try {
      const matches = compilePathPattern(pattern);
      return tree.children(directory).filter(entry => matches(fromBytePath(entry.name)));
    } catch (error) {
      if (error instanceof PatternSyntaxError) return [];
      throw error;
    }
  }

  /** The entry at a path whose links have all been replaced by what they lead to. */
  function lookUp(path: string): E | undefined {
    let entry: E | undefined = tree.root;
    for (const name of path === '' ? [] : toBytePath(path).split('/')) {
      if (entry?.type !== 'dir' || name === '..') return undefined;
      entry = tree.child(entry, name);
    }
    return entry;
  }
}

/** A list without what lies below the entry kept before it; undefined if the root is in it, since then there is no filter. */
function withoutNested(paths: readonly string[]): string[] | undefined {
  const kept: string[] = [];
  let last = '';
  for (const path of paths) {
    if (path === '.') return undefined;
    if (path.startsWith(`${last}/`)) continue;
    kept.push(path);
    last = path;
  }
  return kept;
}
