import { filterTree, type TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import type { FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';

/**
 * A directory of the client as a build context, with what a client changes before it sends a directory: everything belongs
 * to root, macOS's own attributes are left out. Throws what `directoryTree` throws.
 */
export function contextTree(path: string): FileTree {
  return directoryTree(path, { owner: { uid: 0, gid: 0 }, hiddenXattrs: ['com.apple.'] });
}

/** The part of a tree that a transfer asks for. Throws PatternSyntaxError. */
export function filteredTree(tree: FileTree, filter: TransferFilter): FileTree {
  return { ...tree, ...filterTree(tree, filter) };
}
