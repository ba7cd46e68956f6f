import { lstatSync, type Stats } from 'node:fs';
import { statFile } from '../../host/system/stat.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { FileNode } from './file-tree.ts';
import {
  type FrozenTree,
  frozenTree,
  isCode,
  NoDirectoryError,
  namesIn,
  nodeOf,
  type Owner,
} from './file-tree-node.ts';

/** How a directory is shown. */
export interface DirectoryTreeOptions {
  /** The owner that all files have, whatever the disk says: clients send local directories as root's. */
  readonly owner?: Owner;
  /** Extended attributes whose names begin so are left out. */
  readonly hiddenXattrs?: readonly string[];
}

/**
 * A directory of the disk as a tree: a mounted snapshot, a build context. What vanishes while it is read counts as never
 * having been there.
 *
 * Throws NoDirectoryError, and SystemError or the errors of `node:fs` if something cannot be read.
 */
export function directoryTree(path: string, options: DirectoryTreeOptions = {}): FrozenTree {
  const openedAt = Date.now();
  const { owner, hiddenXattrs = [] } = options;
  const top = toBytePath(path).replace(/(?<=.)\/+$/, '');
  const status = statFile(`${path}/`);
  if (status === undefined) throw new NoDirectoryError(path);
  const root = nodeOf('', undefined, status, 0, owner);
  /** With a final slash. */
  const prefixes = new Map<FileNode, BytePath>([[root, top === '/' ? top : `${top}/`]]);

  function prefix(directory: FileNode): BytePath {
    let found = prefixes.get(directory);
    if (found === undefined) {
      found = `${location(directory)}/`;
      prefixes.set(directory, found);
    }
    return found;
  }

  function location(node: FileNode): BytePath {
    return node.parent === undefined ? top : prefix(node.parent) + node.name;
  }

  function find(directory: FileNode, name: BytePath): FileNode | undefined {
    const found = statFile(systemPath(prefix(directory) + name));
    return found && nodeOf(name, directory, found, 0, owner);
  }

  return frozenTree({
    root,
    openedAt,
    hiddenXattrs,
    location,
    list: (directory, known) => namesIn(prefix(directory)).flatMap(name => known(name) ?? find(directory, name) ?? []),
    find,
  });
}

/** What lstat(2) says, or undefined if nothing is there. */
export function statIfThere(path: BytePath): Stats | undefined {
  try {
    return lstatSync(systemPath(path), { throwIfNoEntry: false });
  } catch (error) {
    if (isCode(error, 'ENOTDIR') || isCode(error, 'ENAMETOOLONG')) return undefined;
    throw error;
  }
}
