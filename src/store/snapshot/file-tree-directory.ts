import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { makeDevice } from '../../host/system/inode.ts';
import { type FileStatus, statFile } from '../../host/system/stat.ts';
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

/** A tree was asked for where no directory is. */
export class NoDirectoryError extends Error {
  override readonly name = 'NoDirectoryError';
  readonly path: string;

  constructor(path: string) {
    super(`${path} is no directory`);
    this.path = path;
  }
}

interface Directory {
  readonly path: BytePath;
  /** What was looked for by name so far. */
  readonly byName: Map<BytePath, FileNode | undefined>;
  children: readonly FileNode[] | undefined;
}

/**
 * A directory of the disk as a tree: a mounted snapshot, a build context. What vanishes while it is read counts as never
 * having been there.
 *
 * Throws NoDirectoryError, and SystemError or the errors of `node:fs` if something cannot be read.
 */
export function directoryTree(path: string, options: DirectoryTreeOptions = {}): FileTree {
  const openedAt = Date.now();
  const { owner, hiddenXattrs = [] } = options;
  const top = toBytePath(path).replace(/(?<=.)\/+$/, '');
  const status = statFile(`${path}/`);
  if (status === undefined) throw new NoDirectoryError(path);
  const root = nodeOf('', undefined, status, 0, owner);
  const directories = new Map<FileNode, Directory>([[root, emptyDirectory(top === '/' ? '' : top)]]);
  const xattrs = new Map<FileNode, Xattrs>();
  const plain = new Set<FileNode>();

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
    const status = statFile(systemPath(`${at.path}/${name}`));
    return status && nodeOf(name, parent, status, 0, owner);
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
      if (plain.has(node)) return noXattrs;
      let found = xattrs.get(node);
      if (found === undefined) {
        found = visibleXattrs(location(node), hiddenXattrs);
        xattrs.set(node, found);
      }
      return found;
    },
    noteNoXattrs: node => {
      plain.add(node);
    },
  };
}

function emptyDirectory(path: BytePath): Directory {
  return { path, byName: new Map(), children: undefined };
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

/** The node of what the kernel says of a file. */
export function nodeOf(
  name: BytePath,
  parent: FileNode | undefined,
  status: FileStatus,
  origin: number,
  owner: DirectoryTreeOptions['owner'],
): FileNode {
  return new DiskNode(name, parent, status, origin, owner);
}

/** A class, since most of what a node says is only seldom asked for and then computed. */
class DiskNode implements FileNode {
  readonly name: BytePath;
  readonly type: FileType;
  readonly parent: FileNode | undefined;
  readonly status: FileStatus;
  readonly origin: number;
  private readonly owner: DirectoryTreeOptions['owner'];

  constructor(
    name: BytePath,
    parent: FileNode | undefined,
    status: FileStatus,
    origin: number,
    owner: DirectoryTreeOptions['owner'],
  ) {
    this.name = name;
    this.type = typeOf(status.mode);
    this.parent = parent;
    this.status = status;
    this.origin = origin;
    this.owner = owner;
  }

  get mode(): number {
    return this.status.mode & 0o7777;
  }

  get uid(): number {
    return (this.owner ?? this.status).uid;
  }

  get gid(): number {
    return (this.owner ?? this.status).gid;
  }

  get size(): number {
    return this.status.size;
  }

  get nlink(): number {
    return this.status.nlink;
  }

  get mtime(): bigint {
    return BigInt(this.status.mtimeSeconds) * 1_000_000_000n + BigInt(this.status.mtimeNanoseconds);
  }

  get rdev(): bigint {
    return makeDevice(this.status.major, this.status.minor);
  }

  get inode(): string {
    return `${this.status.device} ${this.status.inoHigh} ${this.status.inoLow}`;
  }
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
