import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { type WorkerPool, workerPool } from '../content/pool.ts';
import { xattrText } from './checksum-header.ts';
import { type FileRecords, inBatches, readFailure } from './checksum-records.ts';
import type { FileNode, FileTree, Xattrs } from './file-tree.ts';
import { type CopyBatch, copyFileBatch } from './file-tree-copy-task.ts';

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
