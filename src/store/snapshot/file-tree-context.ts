import { filterTree, type TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import type { FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';
import type { FrozenTree } from './file-tree-node.ts';

/** Whom a client sends all files as. */
export const CONTEXT_OWNER = { uid: 0, gid: 0 } as const;

/**
 * A directory of the client as a build context, with what a client changes before it sends a directory: everything belongs
 * to root, macOS's own attributes are left out. Throws what `directoryTree` throws.
 */
export function contextTree(path: string): FrozenTree {
  return directoryTree(path, { owner: CONTEXT_OWNER, hiddenXattrs: ['com.apple.'] });
}

/** The part of a tree that a transfer asks for. Throws PatternSyntaxError. */
export function filteredTree(tree: FileTree, filter: TransferFilter): FileTree {
  return { ...tree, ...filterTree(tree, filter) };
}
