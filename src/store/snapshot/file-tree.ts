import type { FileStatus } from '../../host/system/stat.ts';
import { type BytePath, fromBytePath } from '../../wire/fsutil/byte-path.ts';
import type { ReadableTree, TreeEntry } from '../../wire/fsutil/tree.ts';

/** A file as it was when its tree first looked at it. */
export interface FileNode extends TreeEntry {
  /** The directory that it lies in; undefined for the root. */
  readonly parent: FileNode | undefined;
  /** Permission bits, setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes. */
  readonly size: number;
  readonly nlink: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  /** The device that a device node is for, as stat(2) encodes it. */
  readonly rdev: bigint;
  /** What two names of one file have in common. */
  readonly inode: string;
  /** What the kernel says of it, before the tree changed the owner. */
  readonly status: FileStatus;
  /** Which of the directories that the tree is made of it lies in; 0 for the topmost or only one. */
  readonly origin: number;
}

/** Extended attributes by name. */
export type Xattrs = ReadonlyMap<string, Uint8Array>;

/**
 * A tree of files that is read as it is asked for. What was read once stays as it was, so all that is computed from a tree
 * is about one state of it; contents are not held.
 */
export interface FileTree extends ReadableTree<FileNode> {
  /** Milliseconds since the epoch, from before the first file was looked at. */
  readonly openedAt: number;
  /** Beginnings of the names of extended attributes that are not shown. */
  readonly hiddenXattrs: readonly string[];
  xattrs(node: FileNode): Xattrs;
  /** Says that a file has no extended attributes, so that it need not be asked. */
  noteNoXattrs(node: FileNode): void;
  /** Where a file can be read: an absolute path. */
  location(node: FileNode): BytePath;
}

export const noXattrs: Xattrs = new Map();

/** The path of a node below the root, without a leading slash; empty for the root. */
export function pathOf(node: FileNode): BytePath {
  if (node.parent === undefined) return '';
  const above = pathOf(node.parent);
  return above === '' ? node.name : `${above}/${node.name}`;
}

/** A path that leads through too many links. */
export class TooManyLinksError extends Error {
  override readonly name = 'TooManyLinksError';
}

/** As Linux and BuildKit allow at least. */
const MAX_LINKS = 255;

/** Where a path leads. */
export interface ResolvedPath {
  /** The path without links, with a leading slash; `/` for the root. */
  readonly path: BytePath;
  /** What is there, if anything is. */
  readonly node: FileNode | undefined;
  /** The first thing on the way that is no directory although the path goes on below it. */
  readonly obstacle: { readonly node: FileNode; readonly path: BytePath } | undefined;
}

/**
 * Walks a path (any slashes, `.` and `..`) from the root of a tree. Links are followed inside the tree, the last one only
 * if asked for. What is missing or no directory is passed by the text of the path, so `missing/../a` is `/a`.
 *
 * Throws TooManyLinksError after 255 links.
 */
export function resolvePath(tree: ReadableTree<FileNode>, path: BytePath, followLast: boolean): ResolvedPath {
  const names = path.split('/');
  names.reverse();
  let trail: { readonly name: BytePath; readonly node: FileNode | undefined }[] = [];
  let obstacle: ResolvedPath['obstacle'];
  let links = 0;
  for (let name = names.pop(); name !== undefined; name = names.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      trail.pop();
      continue;
    }
    const above = trail.length === 0 ? tree.root : trail.at(-1)?.node;
    const node = above?.type === 'dir' ? tree.child(above, name) : undefined;
    trail.push({ name, node });
    if (above !== undefined && above.type !== 'dir') obstacle ??= { node: above, path: joined(trail) };
    if (node?.type !== 'symlink') continue;
    if (!followLast && names.every(rest => rest === '')) break;
    if (++links > MAX_LINKS) throw new TooManyLinksError('too many links');
    const target = tree.readlink(node);
    if (target.startsWith('/')) trail = [];
    else trail.pop();
    names.push(...target.split('/').reverse());
  }
  const node = trail.length === 0 ? tree.root : trail.at(-1)?.node;
  return { path: joined(trail), node, obstacle };
}

function joined(trail: readonly { readonly name: BytePath }[]): BytePath {
  return `/${trail.map(step => step.name).join('/')}`;
}

/** The path of a node as a person reads it. */
export function shownPath(node: FileNode): string {
  return fromBytePath(pathOf(node));
}
