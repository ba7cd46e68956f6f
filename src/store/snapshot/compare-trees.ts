import { closeSync, constants, openSync, readSync } from 'node:fs';
import { fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import type { FileType } from '../../wire/fsutil/tree.ts';
import { breather } from './breather.ts';
import { type FileNode, type FileTree, pathOf } from './file-tree.ts';

/** What is said of a file of a tree. */
export interface ComparedFile {
  readonly type: FileType;
  /** The 12 permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes, of a regular file. */
  readonly size?: number;
  /** Of a symlink. */
  readonly target?: string;
}

/** In what two files of one path differ. Times do not count: they differ whenever a step runs. */
type Aspect = 'type' | 'size' | 'content' | 'mode' | 'owner' | 'target' | 'device' | 'xattrs';

/** A path at which two trees are not the same. */
export interface TreeDifference {
  /** Absolute. */
  readonly path: string;
  /** What is there in each tree; undefined where nothing is. */
  readonly first: ComparedFile | undefined;
  readonly second: ComparedFile | undefined;
  /** Empty when only one tree has it. */
  readonly aspects: readonly Aspect[];
}

const CHUNK = 256 * 1024;

/**
 * What differs between two trees, in tree order; a directory that only one has is followed by all that is in it. Files that
 * both trees take from one place of the disk are not read.
 * Throws the reason of `signal`, and errors of `node:fs`.
 */
export async function* compareTrees(
  first: FileTree,
  second: FileTree,
  signal: AbortSignal,
): AsyncGenerator<TreeDifference> {
  const breathe = breather();
  const describe = (tree: FileTree, node: FileNode | undefined): ComparedFile | undefined =>
    node && {
      type: node.type,
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      ...(node.type === 'file' ? { size: node.size } : {}),
      ...(node.type === 'symlink' ? { target: fromBytePath(tree.readlink(node)) } : {}),
    };
  const pending: [FileNode | undefined, FileNode | undefined][] = [[first.root, second.root]];
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const wait = breathe(signal);
    if (wait !== undefined) await wait;
    const [a, b] = pair;
    const node = a ?? b;
    if (node === undefined) continue;
    const aspects = a && b ? aspectsOf(first, a, second, b, signal) : [];
    if (!a || !b || aspects.length > 0) {
      yield {
        path: `/${fromBytePath(pathOf(node))}`,
        first: describe(first, a),
        second: describe(second, b),
        aspects,
      };
    }
    pending.push(...pairs(childrenOf(first, a), childrenOf(second, b)).reverse());
  }
}

function childrenOf(tree: FileTree, node: FileNode | undefined): readonly FileNode[] {
  return node?.type === 'dir' ? tree.children(node) : [];
}

/** Two lists that are sorted by name, side by side. */
function pairs(
  first: readonly FileNode[],
  second: readonly FileNode[],
): [FileNode | undefined, FileNode | undefined][] {
  const found: [FileNode | undefined, FileNode | undefined][] = [];
  for (let i = 0, j = 0; i < first.length || j < second.length; ) {
    const [a, b] = [first[i], second[j]];
    const isFirst = a !== undefined && (b === undefined || a.name <= b.name);
    const isSecond = b !== undefined && (a === undefined || b.name <= a.name);
    found.push([isFirst ? a : undefined, isSecond ? b : undefined]);
    if (isFirst) i++;
    if (isSecond) j++;
  }
  return found;
}

function aspectsOf(first: FileTree, a: FileNode, second: FileTree, b: FileNode, signal: AbortSignal): Aspect[] {
  if (a.type !== b.type) return ['type'];
  // Of two layers that are the same nothing can differ.
  if (a.type !== 'dir' && first.location(a) === second.location(b)) return [];
  const aspects: Aspect[] = [];
  if (a.type === 'file') {
    if (a.size !== b.size) aspects.push('size', 'content');
    else if (!haveSameBytes(first, a, second, b, signal)) aspects.push('content');
  }
  if (a.mode !== b.mode) aspects.push('mode');
  if (a.uid !== b.uid || a.gid !== b.gid) aspects.push('owner');
  if (a.type === 'symlink' && first.readlink(a) !== second.readlink(b)) aspects.push('target');
  if ((a.type === 'char' || a.type === 'block') && a.rdev !== b.rdev) aspects.push('device');
  if (!haveSameXattrs(first, a, second, b)) aspects.push('xattrs');
  return aspects;
}

function haveSameXattrs(first: FileTree, a: FileNode, second: FileTree, b: FileNode): boolean {
  const [ours, theirs] = [first.xattrs(a), second.xattrs(b)];
  if (ours.size !== theirs.size) return false;
  return [...ours].every(([name, value]) => Buffer.compare(value, theirs.get(name) ?? Buffer.of()) === 0);
}

function haveSameBytes(first: FileTree, a: FileNode, second: FileTree, b: FileNode, signal: AbortSignal): boolean {
  using ours = openFile(first, a);
  using theirs = openFile(second, b);
  const length = Math.min(CHUNK, a.size);
  const [left, right] = [Buffer.allocUnsafe(length), Buffer.allocUnsafe(length)];
  for (let at = 0; at < a.size; ) {
    signal.throwIfAborted();
    const read = readSync(ours.descriptor, left, 0, length, at);
    const other = readSync(theirs.descriptor, right, 0, length, at);
    if (read === 0 || read !== other || left.compare(right, 0, read, 0, read) !== 0) return false;
    at += read;
  }
  return true;
}

function openFile(tree: FileTree, node: FileNode): { readonly descriptor: number } & Disposable {
  const descriptor = openSync(systemPath(tree.location(node)), constants.O_RDONLY | constants.O_NOFOLLOW);
  return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
}
