import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { readXattrs } from '../../host/system/xattr.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { FileType } from '../../wire/fsutil/tree.ts';
import { type FileNode, type FileTree, noXattrs, type Xattrs } from './file-tree.ts';

/** How a directory is shown. */
export interface DirectoryTreeOptions {
  /** The owner that all files have, whatever the disk says: clients send local directories as root's. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Extended attributes whose names begin so are left out. */
  readonly hiddenXattrs?: readonly string[];
}

interface Directory {
  readonly path: BytePath;
  /** What was looked for by name so far. */
  readonly byName: Map<BytePath, FileNode | undefined>;
  children: readonly FileNode[] | undefined;
}

/**
 * A directory of the disk as a tree: a mounted snapshot, a build context. What vanishes while it is read counts as never
 * having been there. Throws the errors of `node:fs` if the directory itself is not there or something cannot be read.
 */
export function directoryTree(path: string, options: DirectoryTreeOptions = {}): FileTree {
  const openedAt = BigInt(Date.now()) * 1_000_000n;
  const { owner, hiddenXattrs = [] } = options;
  const top = toBytePath(path).replace(/(?<=.)\/+$/, '');
  const root = nodeOf('', undefined, lstatSync(`${path}/`, { bigint: true }), 0, owner);
  const directories = new Map<FileNode, Directory>([[root, emptyDirectory(top === '/' ? '' : top)]]);
  const xattrs = new Map<FileNode, Xattrs>();

  function directory(node: FileNode): Directory {
    let found = directories.get(node);
    if (found === undefined) {
      found = emptyDirectory(location(node));
      directories.set(node, found);
    }
    return found;
  }

  function location(node: FileNode): BytePath {
    return node.parent === undefined ? top : `${directory(node.parent).path}/${node.name}`;
  }

  function look(name: BytePath, parent: FileNode, at: Directory): FileNode | undefined {
    const stats = statIfThere(`${at.path}/${name}`);
    return stats && nodeOf(name, parent, stats, 0, owner);
  }

  return {
    root,
    openedAt,
    hiddenXattrs,
    location,
    children: node => {
      const own = directory(node);
      own.children ??= namesIn(own.path).flatMap(name => own.byName.get(name) ?? look(name, node, own) ?? []);
      return own.children;
    },
    child: (node, name) => {
      const own = directory(node);
      if (own.children !== undefined && own.byName.size < own.children.length) {
        for (const child of own.children) own.byName.set(child.name, child);
      }
      if (own.children !== undefined || own.byName.has(name)) return own.byName.get(name);
      const child = look(name, node, own);
      own.byName.set(name, child);
      return child;
    },
    readlink: node => linkTarget(location(node)),
    xattrs: node => {
      let found = xattrs.get(node);
      if (found === undefined) {
        found = visibleXattrs(location(node), hiddenXattrs);
        xattrs.set(node, found);
      }
      return found;
    },
    noteNoXattrs: node => {
      xattrs.set(node, noXattrs);
    },
  };
}

function emptyDirectory(path: BytePath): Directory {
  return { path, byName: new Map(), children: undefined };
}

/** What lstat(2) says, or undefined if nothing is there. */
export function statIfThere(path: BytePath): BigIntStats | undefined {
  try {
    return lstatSync(systemPath(path), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (isCode(error, 'ENOTDIR') || isCode(error, 'ENAMETOOLONG')) return undefined;
    throw error;
  }
}

/** The names in a directory, by their bytes; none if it is not there any more. */
export function namesIn(path: BytePath): BytePath[] {
  try {
    return readdirSync(systemPath(path === '' ? '/' : path), 'latin1').sort();
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}

/** The target of a symlink. */
export function linkTarget(path: BytePath): BytePath {
  return readlinkSync(systemPath(path), 'latin1');
}

/** The extended attributes of a file, without those whose names begin with one of `hidden`. */
export function visibleXattrs(path: BytePath, hidden: readonly string[]): Xattrs {
  const all = readXattrs(systemPath(path));
  for (const name of all.size === 0 ? [] : [...all.keys()]) {
    if (hidden.some(prefix => name.startsWith(prefix))) all.delete(name);
  }
  return all.size === 0 ? noXattrs : all;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** The node of what lstat(2) saw. */
export function nodeOf(
  name: BytePath,
  parent: FileNode | undefined,
  stats: BigIntStats,
  origin: number,
  owner: DirectoryTreeOptions['owner'],
): FileNode {
  const mode = Number(stats.mode);
  return {
    name,
    type: typeOf(mode),
    parent,
    mode: mode & 0o7777,
    uid: owner?.uid ?? Number(stats.uid),
    gid: owner?.gid ?? Number(stats.gid),
    size: Number(stats.size),
    mtime: stats.mtimeNs,
    ctime: stats.ctimeNs,
    dev: stats.dev,
    ino: stats.ino,
    nlink: Number(stats.nlink),
    rdev: stats.rdev,
    origin,
  };
}

function typeOf(mode: number): FileType {
  switch (mode & 0o170000) {
    case 0o040000:
      return 'dir';
    case 0o120000:
      return 'symlink';
    case 0o020000:
      return 'char';
    case 0o060000:
      return 'block';
    case 0o010000:
      return 'fifo';
    case 0o140000:
      return 'socket';
    default:
      return 'file';
  }
}
