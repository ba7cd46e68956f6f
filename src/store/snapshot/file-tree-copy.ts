import { chmodSync, lchownSync, linkSync, mkdirSync, symlinkSync } from 'node:fs';
import { makeNode, setTimes } from '../../host/system/inode.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { type WorkerPool, workerPool } from '../content/pool.ts';
import { ChangedUnderBuildError } from './checksum-error.ts';
import { xattrText } from './checksum-header.ts';
import { type FileRecords, inBatches, readFailure } from './checksum-records.ts';
import { type FileNode, type FileTree, shownPath, type Xattrs } from './file-tree.ts';
import { type CopyBatch, copyFileBatch, trySetXattr } from './file-tree-copy-task.ts';

/** Where files are copied from. */
export interface CopySource {
  readonly tree: FileTree;
  /** What the key of the step was made of: files that are known there must have the same content when they are copied. */
  readonly records: FileRecords;
}

/** A regular file to copy. */
export interface FileCopy {
  readonly node: FileNode;
  /** Where nothing is yet, in a directory that is there. */
  readonly to: BytePath;
  /** What it shall be like; the file's own unless said. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Nanoseconds since the epoch. */
  readonly mtime?: bigint;
  readonly xattrs?: Xattrs;
}

export interface CopyOptions {
  /** Called with the number of bytes of each batch that was copied. */
  readonly advance?: (bytes: number) => void;
  readonly pool?: () => WorkerPool;
}

const MS_PER_FILE = 0.1;
const MS_PER_BYTE = 2e-6;

/**
 * Copies regular files, in worker threads if they are many. The bytes that are written are the bytes that were hashed.
 *
 * Throws ChangedUnderBuildError for a file that is not what it was when it was listed or hashed, and errors of the disk. What
 * was copied by then stays.
 */
export async function copyFiles(
  source: CopySource,
  copies: readonly FileCopy[],
  options: CopyOptions,
  signal: AbortSignal,
): Promise<void> {
  const { advance, pool = workerPool } = options;
  const cost = copies.reduce((sum, { node }) => sum + MS_PER_FILE + node.size * MS_PER_BYTE, 0);
  await inBatches(copies, cost, signal, async (batch, any) => {
    const packed = pack(source, batch);
    const { failure } =
      any === undefined
        ? copyFileBatch(packed, { throwIfAborted: () => signal.throwIfAborted() })
        : await pool().run('copyFileBatch', packed, any);
    if (failure !== undefined) {
      throw readFailure(
        batch.map(copy => copy.node),
        failure,
      );
    }
    advance?.(batch.reduce((sum, { node }) => sum + node.size, 0));
  });
}

function pack({ tree, records }: CopySource, copies: readonly FileCopy[]): CopyBatch {
  const digests = Buffer.alloc(copies.length * 32);
  const headers = copies.map(({ node }, index) => {
    const known = records.known(node);
    if (known === undefined) return '';
    digests.write(known.slice('sha256:'.length), index * 32, 'hex');
    return records.header(node) + xattrText(tree.xattrs(node));
  });
  return {
    from: copies.map(({ node }) => tree.location(node)),
    to: copies.map(({ to }) => to),
    sizes: copies.map(({ node }) => node.size),
    headers,
    digests,
    modes: copies.map(({ node, mode = node.mode }) => mode),
    uids: copies.map(({ node, uid = node.uid }) => uid),
    gids: copies.map(({ node, gid = node.gid }) => gid),
    mtimes: copies.map(({ node, mtime = node.mtime }) => mtime),
    xattrs: copies.map(({ node, xattrs = tree.xattrs(node) }) => (xattrs.size === 0 ? undefined : [...xattrs])),
  };
}

const TYPE_BITS = { fifo: 0o010000, char: 0o020000, block: 0o060000, socket: 0o100000 } as const;

/**
 * Makes what is neither a regular file nor a directory, without owner, mode, times and attributes: a link, a pipe, a device;
 * an empty file in place of a socket, as BuildKit's transfer does. Throws ChangedUnderBuildError and errors of the disk.
 */
export function makeSpecial({ tree, records }: CopySource, node: FileNode, to: BytePath): void {
  const known = records.known(node);
  const now = known && digestOf(Buffer.from(records.header(node) + xattrText(tree.xattrs(node)), 'latin1'));
  if (known !== now) throw new ChangedUnderBuildError(shownPath(node));
  if (node.type === 'symlink') symlinkSync(systemPath(tree.readlink(node)), systemPath(to));
  else if (node.type !== 'file' && node.type !== 'dir')
    makeNode(systemPath(to), TYPE_BITS[node.type] | 0o600, node.rdev);
  else throw new TypeError(`${shownPath(node)} is a ${node.type}`);
}

/** Gives a copy what its original has beside content: owner, mode, times, extended attributes; in this order. */
export function copyMetadata({ tree }: CopySource, node: FileNode, to: BytePath): void {
  const path = systemPath(to);
  lchownSync(path, node.uid, node.gid);
  if (node.type !== 'symlink') chmodSync(path, node.mode);
  setTimes(path, node.mtime, node.mtime);
  for (const [name, value] of tree.xattrs(node)) trySetXattr(path, name, value);
}

/**
 * Copies a whole tree into a directory that is there and empty; the directory itself gets the metadata of the root. Names of
 * one file stay names of one file. Throws what `copyFiles` and `makeSpecial` throw.
 */
export async function copyTree(
  source: CopySource,
  target: string,
  options: CopyOptions,
  signal: AbortSignal,
): Promise<void> {
  const { tree } = source;
  const files: FileCopy[] = [];
  const directories: (readonly [FileNode, BytePath])[] = [];
  const links: (readonly [from: BytePath, to: BytePath])[] = [];
  const names = new Map<string, BytePath>();

  const visit = (directory: FileNode, at: BytePath): void => {
    signal.throwIfAborted();
    directories.push([directory, at]);
    for (const node of tree.children(directory)) {
      const to = `${at}/${node.name}`;
      const first = node.nlink > 1 && node.type !== 'dir' ? names.get(node.inode) : undefined;
      if (first !== undefined) {
        links.push([first, to]);
        continue;
      }
      if (node.nlink > 1) names.set(node.inode, to);
      if (node.type === 'dir') {
        mkdirSync(systemPath(to), 0o700);
        visit(node, to);
      } else if (node.type === 'file') {
        files.push({ node, to });
      } else {
        makeSpecial(source, node, to);
        copyMetadata(source, node, to);
      }
    }
  };
  visit(tree.root, toBytePath(target));
  await copyFiles(source, files, options, signal);
  for (const [from, to] of links) linkSync(systemPath(from), systemPath(to));
  for (const [node, to] of directories.reverse()) copyMetadata(source, node, to);
}
