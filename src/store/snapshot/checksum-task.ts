import { createHash, hash } from 'node:crypto';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { xattrText } from './checksum-header.ts';
import { visibleXattrs } from './file-tree-node.ts';

/** Regular files to hash; the lists are parallel. */
export interface RecordBatch {
  readonly paths: readonly BytePath[];
  /** What is hashed before extended attributes and content. */
  readonly headers: readonly BytePath[];
  /** In bytes; a file of another size has changed. */
  readonly sizes: readonly number[];
  /** Beginnings of names of extended attributes that do not exist for the tree. */
  readonly hiddenXattrs: readonly string[];
}

/** Why a file of a batch could not be read; the batch ends there. */
export interface BatchFailure {
  readonly index: number;
  /** `changed`: it is not what it was when it was listed. */
  readonly reason: 'changed' | 'unreadable';
  readonly message: string;
}

export interface RecordBatchResult {
  /** 32 bytes a file. */
  readonly digests: Uint8Array;
  /** One byte a file: 1 if it has extended attributes. */
  readonly withXattrs: Uint8Array;
  readonly failure?: BatchFailure;
}

/** A file has another size than it was listed with. */
class SizeChangedError extends Error {}

/** What opening or reading says of a path that is no regular file any more. */
const REPLACED: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO', 'EAGAIN']);
const CHUNK = 1 << 20;
/** A file that was replaced by a link or a pipe must neither be followed nor waited for. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
let buffer = Buffer.allocUnsafeSlow(1 << 16);

/** Task: the digests of file records. Reads in large pieces, whatever the size of the files. */
export function hashRecords(batch: RecordBatch, context: { throwIfAborted(): void }): RecordBatchResult {
  const { paths, headers, sizes, hiddenXattrs } = batch;
  const digests = new Uint8Array(paths.length * 32);
  const withXattrs = new Uint8Array(paths.length);
  for (const [index, path] of paths.entries()) {
    context.throwIfAborted();
    try {
      const xattrs = visibleXattrs(path, hiddenXattrs);
      if (xattrs.size > 0) withXattrs[index] = 1;
      const header = (headers[index] ?? '') + (xattrs.size > 0 ? xattrText(xattrs) : '');
      digests.set(hashFileRecord(path, header, sizes[index] ?? 0, context), index * 32);
    } catch (error) {
      return { digests, withXattrs, failure: { index, ...failureOf(error) } };
    }
  }
  return { digests, withXattrs };
}

/** Tells a file that changed from one that cannot be read; other errors are thrown on. */
export function failureOf(error: unknown): Omit<BatchFailure, 'index'> {
  if (error instanceof SizeChangedError) return { reason: 'changed', message: error.message };
  if (!(error instanceof Error) || !('code' in error)) throw error;
  const gone = REPLACED.has(String(error.code));
  return { reason: gone ? 'changed' : 'unreadable', message: error.message };
}

/**
 * The digest of header and content of a regular file. `use` gets the bytes of the content as they are read; they are only
 * valid during the call.
 */
export function hashFileRecord(
  path: BytePath,
  header: BytePath,
  size: number,
  context: { throwIfAborted(): void },
  use?: (bytes: Buffer) => void,
): Buffer {
  const start = header.length;
  if (size === 0 && use === undefined) return hash('sha256', Buffer.from(header, 'latin1'), 'buffer');
  const file = openSync(systemPath(path), READ);
  try {
    if (size > CHUNK) return hashLarge(file, header, size, context, use);
    // One byte more than there should be, to notice a file that has grown.
    const needed = start + size + 1;
    if (buffer.length < needed) buffer = Buffer.allocUnsafeSlow(Math.max(needed, 2 * buffer.length));
    buffer.write(header, 0, 'latin1');
    const read = readFully(file, buffer, start, size + 1, size);
    if (read !== size) throw new SizeChangedError(`${read} bytes instead of ${size}`);
    if (size > 0) use?.(buffer.subarray(start, start + size));
    return hash('sha256', buffer.subarray(0, start + size), 'buffer');
  } finally {
    closeSync(file);
  }
}

function hashLarge(
  file: number,
  header: BytePath,
  size: number,
  context: { throwIfAborted(): void },
  use: ((bytes: Buffer) => void) | undefined,
): Buffer {
  if (buffer.length < CHUNK) buffer = Buffer.allocUnsafeSlow(CHUNK);
  const digest = createHash('sha256').update(header, 'latin1');
  let total = 0;
  for (;;) {
    context.throwIfAborted();
    const read = readFully(file, buffer, 0, CHUNK);
    total += read;
    if (read === 0 || total > size) break;
    const bytes = buffer.subarray(0, read);
    digest.update(bytes);
    use?.(bytes);
  }
  if (total !== size) throw new SizeChangedError(`${total > size ? 'more than' : total} bytes instead of ${size}`);
  return digest.digest();
}

/** Reads until `length` bytes are there, or nothing more, or, with one read less, as many as there should be. */
function readFully(file: number, into: Buffer, offset: number, length: number, expected = length): number {
  let total = 0;
  while (total < length) {
    const read = readSync(file, into, offset + total, length - total, null);
    total += read;
    if (read === 0 || total === expected) break;
  }
  return total;
}
