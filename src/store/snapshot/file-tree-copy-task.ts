import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync, writeSync } from 'node:fs';
import { setTimes } from '../../host/system/inode.ts';
import { statFile } from '../../host/system/stat.ts';
import { trySetXattr } from '../../host/system/xattr.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { type BatchFailure, failureOf, hashFileRecord } from './checksum-task.ts';
import { copyBytes } from './copy-up.ts';

/** Regular files to copy; the lists are parallel. */
export interface CopyBatch {
  readonly from: readonly BytePath[];
  /** Where nothing is yet. */
  readonly to: readonly BytePath[];
  /** In bytes; a file of another size has changed. */
  readonly sizes: readonly number[];
  /** What is hashed before the content, extended attributes included. */
  readonly headers: readonly BytePath[];
  /** 32 bytes a file, of header and content; zeros for a file that nothing is known of. */
  readonly digests: Uint8Array;
  readonly modes: readonly number[];
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Nanoseconds since the epoch. */
  readonly mtimes: readonly bigint[];
  readonly xattrs: readonly (readonly (readonly [name: string, value: Uint8Array])[] | undefined)[];
}

/** A file that was replaced by a link or a pipe must neither be followed nor waited for. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Task: copies files with owner, mode, times and extended attributes, and compares what was read with the digests. Returns
 * the first file that could not be copied; errors of the destination are thrown.
 */
export function copyFileBatch(
  batch: CopyBatch,
  context: { throwIfAborted(): void },
): { readonly failure?: BatchFailure } {
  const born = newFiles();
  for (const [index, to] of batch.to.entries()) {
    context.throwIfAborted();
    const target = systemPath(to);
    const [mode, uid, gid] = [batch.modes[index] ?? 0, batch.uids[index] ?? 0, batch.gids[index] ?? 0];
    const file = openSync(target, WRITE, mode & 0o777);
    try {
      const failure = copyContent(batch, index, file, context);
      if (failure !== undefined) return { failure: { index, ...failure } };
      // The owner first: changing it takes setuid away.
      if (!born.belongTo(to, uid, gid)) fchownSync(file, uid, gid);
      if (!born.haveMode(mode)) fchmodSync(file, mode);
    } finally {
      closeSync(file);
    }
    const mtime = batch.mtimes[index] ?? 0n;
    setTimes(target, mtime, mtime);
    for (const [name, value] of batch.xattrs[index] ?? []) trySetXattr(target, name, value);
  }
  return {};
}

/** What files are like when they are made: most need no further system call. */
function newFiles(): { belongTo(path: BytePath, uid: number, gid: number): boolean; haveMode(mode: number): boolean } {
  const umask = process.umask();
  const [user, group] = [process.geteuid?.(), process.getegid?.()];
  let directory: BytePath | undefined;
  let givesGroup = true;
  return {
    belongTo: (path, uid, gid) => {
      if (uid !== user || gid !== group) return false;
      const parent = path.slice(0, path.lastIndexOf('/'));
      if (parent !== directory) {
        directory = parent;
        // A setgid directory gives its files its own group.
        givesGroup = ((statFile(systemPath(parent === '' ? '/' : parent))?.mode ?? 0o2000) & 0o2000) !== 0;
      }
      return !givesGroup;
    },
    haveMode: mode => mode === (mode & 0o777 & ~umask),
  };
}

function copyContent(
  { from, sizes, headers, digests }: CopyBatch,
  index: number,
  to: number,
  context: { throwIfAborted(): void },
): Omit<BatchFailure, 'index'> | undefined {
  const expected = digests.subarray(index * 32, index * 32 + 32);
  if (expected.every(byte => byte === 0)) return copyUnchecked(from[index] ?? '', sizes[index] ?? 0, to);
  let written: unknown;
  try {
    const digest = hashFileRecord(from[index] ?? '', headers[index] ?? '', sizes[index] ?? 0, context, bytes => {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(to, bytes, at);
      } catch (error) {
        written = error;
        throw error;
      }
    });
    if (digest.equals(expected)) return undefined;
    return { reason: 'changed', message: 'other content than its digest says' };
  } catch (error) {
    if (error === written) throw error;
    return failureOf(error);
  }
}

/** Of a file that nothing is known of, or that cannot change. */
function copyUnchecked(from: BytePath, size: number, to: number): Omit<BatchFailure, 'index'> | undefined {
  let file: number;
  try {
    file = openSync(systemPath(from), READ);
  } catch (error) {
    return failureOf(error);
  }
  try {
    const now = fstatSync(file).size;
    if (now !== size) return { reason: 'changed', message: `${now} bytes instead of ${size}` };
    copyBytes(file, to, size);
    return undefined;
  } finally {
    closeSync(file);
  }
}
