import { readdirSync, readlinkSync } from 'node:fs';
import { makeDevice } from '../../host/system/inode.ts';
import type { FileStatus } from '../../host/system/stat.ts';
import { readXattrs } from '../../host/system/xattr.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import type { FileType } from '../../wire/fsutil/tree.ts';
import { type FileNode, type FileTree, noXattrs, type Xattrs } from './file-tree.ts';

/** User and group by number. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
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

/** How a tree reads the disk. Each place is looked at once. */
export interface TreeReader extends Pick<FileTree, 'root' | 'openedAt' | 'hiddenXattrs' | 'location'> {
  /** What lies in a directory, in order; `known` gives what was found by name before. */
  list(directory: FileNode, known: (name: BytePath) => FileNode | undefined): FileNode[];
  find(directory: FileNode, name: BytePath): FileNode | undefined;
}

/** A tree that can be told what lies in it, and what it knows. */
export interface FrozenTree extends FileTree {
  /** Says what lies in a directory: `make` is asked, once, when somebody wants to know. */
  noteChildren(directory: FileNode, make: (known: (name: BytePath) => FileNode | undefined) => FileNode[]): void;
  noteLink(node: FileNode, target: BytePath): void;
  /** What lies in a directory, if that was asked for already. */
  listed(directory: FileNode): readonly FileNode[] | undefined;
  /** Whether a file is known to have no extended attributes. */
  isPlain(node: FileNode): boolean;
}

interface Listing {
  /** What was looked for by name so far. */
  readonly byName: Map<BytePath, FileNode | undefined>;
  /** How the children are made, if not by reading the directory. */
  make: ((known: (name: BytePath) => FileNode | undefined) => FileNode[]) | undefined;
  children: readonly FileNode[] | undefined;
  /** Whether all children are in `byName`. */
  isIndexed: boolean;
}

/** The tree that stays as its reader first saw it. */
export function frozenTree(reader: TreeReader): FrozenTree {
  const { root, openedAt, hiddenXattrs } = reader;
  const listings = new Map<FileNode, Listing>();
  const xattrs = new Map<FileNode, Xattrs>();
  const links = new Map<FileNode, BytePath>();
  const plain = new Set<FileNode>();

  function listing(directory: FileNode): Listing {
    return remembered(listings, directory, () => ({
      byName: new Map(),
      make: undefined,
      children: undefined,
      isIndexed: false,
    }));
  }

  function childrenOf(directory: FileNode, own: Listing): readonly FileNode[] {
    const known = (name: BytePath) => own.byName.get(name);
    own.children ??= own.make === undefined ? reader.list(directory, known) : own.make(known);
    return own.children;
  }

  return {
    root,
    openedAt,
    hiddenXattrs,
    location: node => reader.location(node),
    children: directory => childrenOf(directory, listing(directory)),
    child: (directory, name) => {
      const own = listing(directory);
      const { byName } = own;
      const children = own.make === undefined ? own.children : childrenOf(directory, own);
      if (children !== undefined && !own.isIndexed) {
        for (const child of children) byName.set(child.name, child);
        own.isIndexed = true;
      }
      if (children !== undefined || byName.has(name)) return byName.get(name);
      const child = reader.find(directory, name);
      byName.set(name, child);
      return child;
    },
    readlink: node => remembered(links, node, () => linkTarget(reader.location(node))),
    xattrs: node => {
      if (plain.has(node)) return noXattrs;
      return remembered(xattrs, node, () => visibleXattrs(reader.location(node), hiddenXattrs));
    },
    noteNoXattrs: node => {
      plain.add(node);
    },
    noteChildren: (directory, make) => {
      listing(directory).make = make;
    },
    noteLink: (node, target) => {
      links.set(node, target);
    },
    listed: directory => listings.get(directory)?.children,
    isPlain: node => plain.has(node) || xattrs.get(node)?.size === 0,
  };
}

function remembered<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** The names in a directory, by their bytes; none if it is not there any more. */
export function namesIn(path: BytePath): BytePath[] {
  try {
    return readdirSync(systemPath(path), 'latin1').sort();
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}

function linkTarget(path: BytePath): BytePath {
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

/** Whether an error has this code, such as `ENOENT`. */
export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** The node of what the kernel says of a file. */
export function nodeOf(
  name: BytePath,
  parent: FileNode | undefined,
  status: FileStatus,
  origin: number,
  owner: Owner | undefined,
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
  private readonly owner: Owner | undefined;

  constructor(
    name: BytePath,
    parent: FileNode | undefined,
    status: FileStatus,
    origin: number,
    owner: Owner | undefined,
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
