import { filterTree, type TransferFilter } from '../../wire/fsutil/filter-tree.ts';
import type { FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';

/**
 * A directory of the client as its build context: filtered, and with what a client changes before it sends a directory
 * (everything belongs to root, macOS's own attributes are left out). Throws what `directoryTree` and `filterTree` throw.
 */
export function contextTree(path: string, filter: TransferFilter): FileTree {
  const tree = directoryTree(path, { owner: { uid: 0, gid: 0 }, hiddenXattrs: ['com.apple.'] });
  return { ...tree, ...filterTree(tree, filter) };
}
