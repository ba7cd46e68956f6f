import { fromBytePath } from './byte-path.ts';
import { followedPatterns } from './follow-paths.ts';
import { createPathFilter, type FilteredDirectory, type PathFilter } from './path-filter.ts';
import { PatternSyntaxError } from './path-match.ts';
import type { ReadableTree, TreeEntry } from './tree.ts';

/** What a file transfer asks for. Patterns are those of `.dockerignore`. */
export interface TransferFilter {
  readonly includePatterns?: readonly string[] | undefined;
  readonly excludePatterns?: readonly string[] | undefined;
  /** Paths that are needed, with what links on the way lead to. */
  readonly followPaths?: readonly string[] | undefined;
}

interface Directory {
  /** Relative path with a final slash, empty for the root. */
  readonly prefix: string;
  readonly decision: FilteredDirectory | undefined;
}

/**
 * The part of a tree that a sender sends for a filter (github.com/tonistiigi/fsutil): what is included and not excluded, and
 * the directories on the way there. It is read as it is asked for: directories in which nothing can be kept are never read,
 * and one that cannot be read counts as empty if it is not kept for itself.
 *
 * Throws PatternSyntaxError for patterns that are malformed.
 */
export function filterTree<E extends TreeEntry>(tree: ReadableTree<E>, wanted: TransferFilter): ReadableTree<E> {
  const filter = compile(tree, wanted);
  if (filter.keepsAll) return tree;
  const directories = new Map<E, Directory>([[tree.root, { prefix: '', decision: undefined }]]);
  const lists = new Map<E, readonly E[]>();
  const occupied = new Map<E, boolean>();

  function directory(entry: E): Directory {
    const found = directories.get(entry);
    if (found === undefined) throw new TypeError(`${fromBytePath(entry.name)} is no directory of the filtered tree`);
    return found;
  }

  function decide(entry: E, parent: Directory): FilteredDirectory {
    const known = directories.get(entry)?.decision;
    if (known !== undefined) return known;
    const path = parent.prefix + fromBytePath(entry.name);
    const decision = filter.directory(path, parent.decision);
    directories.set(entry, { prefix: `${path}/`, decision });
    return decision;
  }

  function isKept(entry: E, parent: Directory): boolean {
    if (entry.type !== 'dir') return filter.keepsFile(parent.prefix + fromBytePath(entry.name), parent.decision);
    const decision = decide(entry, parent);
    return decision.keep || (decision.enter && isOccupied(entry));
  }

  function isOccupied(entry: E): boolean {
    let known = occupied.get(entry);
    if (known === undefined) {
      const own = directory(entry);
      known = childrenIfReadable(entry).some(child => isKept(child, own));
      occupied.set(entry, known);
    }
    return known;
  }

  function childrenIfReadable(entry: E): readonly E[] {
    try {
      return tree.children(entry);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EACCES') return [];
      throw error;
    }
  }

  return {
    root: tree.root,
    children: entry => {
      let list = lists.get(entry);
      if (list === undefined) {
        const own = directory(entry);
        list = own.decision?.enter === false ? [] : tree.children(entry).filter(child => isKept(child, own));
        lists.set(entry, list);
      }
      return list;
    },
    child: (entry, name) => {
      const found = tree.child(entry, name);
      return found !== undefined && isKept(found, directory(entry)) ? found : undefined;
    },
    readlink: entry => tree.readlink(entry),
  };
}

function compile<E extends TreeEntry>(tree: ReadableTree<E>, wanted: TransferFilter): PathFilter {
  const include = followedPatterns(tree, wanted.includePatterns ?? [], wanted.followPaths);
  const exclude = wanted.excludePatterns ?? [];
  explained('includepatterns', include, () => createPathFilter({ include }));
  return explained('excludepatterns', exclude, () => createPathFilter({ include, exclude }));
}

/** Runs what compiles patterns, and puts the list and its role before the message when it fails, as BuildKit does. */
export function explained<T>(
  role: 'includepatterns' | 'excludepatterns',
  patterns: readonly string[],
  run: () => T,
): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof PatternSyntaxError)) throw cause;
    const message = `invalid ${role}: [${patterns.join(' ')}]: ${cause.message}`;
    throw new PatternSyntaxError(cause.pattern, message, { cause });
  }
}
