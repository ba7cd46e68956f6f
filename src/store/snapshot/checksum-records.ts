import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import { type WorkerPool, workerPool } from '../content/pool.ts';
import type { RecordCache } from './checksum-cache.ts';
import { ChangedUnderBuildError } from './checksum-error.ts';
import { type ChecksumView, headerText, xattrText } from './checksum-header.ts';
import { type BatchFailure, hashRecords, type RecordBatch, type RecordBatchResult } from './checksum-task.ts';
import { type FileNode, type FileTree, shownPath } from './file-tree.ts';

/** Digests of single files, links and directory headers. */
export interface FileRecords {
  /** Makes the digests of these nodes known; what is not cached is read, in worker threads if it is much. */
  ensure(nodes: readonly FileNode[], signal: AbortSignal | undefined): Promise<void>;
  /** A digest that `ensure` made known. */
  get(node: FileNode): Digest;
  /** The same, or undefined if it is not known. */
  known(node: FileNode): Digest | undefined;
  /** What is hashed before the content. */
  header(node: FileNode): string;
}

/** Records that can be told what is known from elsewhere. */
export interface ContextRecords extends FileRecords {
  /** Says what the digest of a file is, 64 hex digits. */
  note(node: FileNode, hex: string, hasXattrs: boolean): void;
}

export interface FileRecordsOptions {
  readonly view: ChecksumView;
  /** Where digests are kept, by the directory that a file lies in (`FileNode.origin`). */
  readonly cache?: (node: FileNode) => RecordCache | undefined;
  /** The pool that hashes; the process's own unless said. */
  readonly pool?: () => WorkerPool;
}

/** What starting threads is not worth: a guess in milliseconds of one core. */
const THREADS_FROM = 100;
const MS_PER_FILE = 0.04;
const MS_PER_BYTE = 1e-6;
const BATCH_FILES = 1000;
const BATCH_BYTES = 32 << 20;

/** The records of a tree's files. Digests are kept as long as the result is. */
export function fileRecords(tree: FileTree, options: FileRecordsOptions): ContextRecords {
  const { view, cache = () => undefined, pool = workerPool } = options;
  const digests = new Map<FileNode, Digest>();

  function header(node: FileNode): string {
    return headerText(node, view, node.type === 'symlink' ? tree.readlink(node) : '');
  }

  function note(node: FileNode, hex: string, hasXattrs: boolean): void {
    if (!hasXattrs) tree.noteNoXattrs(node);
    digests.set(node, `sha256:${hex}`);
  }

  /** Of what has no content: only the header and the extended attributes are hashed. */
  function hashHeader(node: FileNode, isNew: boolean): void {
    const xattrs = tree.xattrs(node);
    const digest = digestOf(Buffer.from(header(node) + xattrText(xattrs), 'latin1'));
    digests.set(node, digest);
    if (isNew) cache(node)?.put(node, Buffer.from(digest.slice('sha256:'.length), 'hex'), xattrs.size > 0);
  }

  function take(nodes: readonly FileNode[], result: RecordBatchResult): void {
    const hashed = result.failure?.index ?? nodes.length;
    for (let index = 0; index < hashed; index++) {
      const node = nodes[index];
      if (node === undefined) continue;
      const digest = result.digests.subarray(index * 32, index * 32 + 32);
      const hasXattrs = result.withXattrs[index] === 1;
      note(node, Buffer.from(digest).toString('hex'), hasXattrs);
      cache(node)?.put(node, digest, hasXattrs);
    }
    if (result.failure !== undefined) throw readFailure(nodes, result.failure);
  }

  function batchOf(nodes: readonly FileNode[]): RecordBatch {
    return {
      paths: nodes.map(node => tree.location(node)),
      headers: nodes.map(header),
      sizes: nodes.map(node => node.size),
      hiddenXattrs: tree.hiddenXattrs,
    };
  }

  async function hashFiles(nodes: readonly FileNode[], signal: AbortSignal | undefined): Promise<void> {
    const cost = nodes.reduce((sum, node) => sum + MS_PER_FILE + node.size * MS_PER_BYTE, 0);
    await inBatches(
      nodes.map(node => ({ node })),
      cost,
      signal,
      async (copies, any) => {
        const batch = copies.map(({ node }) => node);
        const context = { throwIfAborted: () => signal?.throwIfAborted() };
        take(
          batch,
          any === undefined
            ? hashRecords(batchOf(batch), context)
            : await pool().run('hashRecords', batchOf(batch), any),
        );
      },
    );
  }

  return {
    header,
    note,
    known: node => digests.get(node),
    get: node => {
      const digest = digests.get(node);
      if (digest === undefined) throw new TypeError(`${shownPath(node)} was not hashed`);
      return digest;
    },
    ensure: async (nodes, signal) => {
      const files: FileNode[] = [];
      for (const node of nodes) {
        if (digests.has(node)) continue;
        const cached = cache(node)?.get(node);
        if (cached?.hasXattrs === false) tree.noteNoXattrs(node);
        if (node.type === 'file' && cached === undefined) files.push(node);
        // A link is always read, so that what is copied later is what was hashed.
        else if (cached === undefined || node.type === 'symlink') hashHeader(node, cached === undefined);
        else digests.set(node, `sha256:${cached.hex}`);
      }
      if (files.length > 0) await hashFiles(files, signal);
    },
  };
}

/** The error of a file of a batch. */
export function readFailure(nodes: readonly FileNode[], { index, reason, message }: BatchFailure): Error {
  const node = nodes[index];
  const path = node === undefined ? '' : shownPath(node);
  const cause = new Error(message);
  if (reason === 'changed') return new ChangedUnderBuildError(path, { cause });
  return new UnreadableFileError(path, message, cause);
}

/** A file that counts for a key cannot be read. */
class UnreadableFileError extends Error {
  override readonly name = 'UnreadableFileError';
  readonly path: string;

  constructor(path: string, message: string, cause: unknown) {
    super(`cannot read ${path}: ${message}`, { cause });
    this.path = path;
  }
}

/**
 * Runs work on files in batches that keep a thread busy for some ten milliseconds: all at once if that is more than starting
 * threads costs, else as one batch without a signal, which is to be done where it stands. The first error ends it all, when
 * every batch has ended.
 *
 * @param cost A guess in milliseconds of one core.
 */
export async function inBatches<T extends { readonly node: FileNode }>(
  items: readonly T[],
  cost: number,
  signal: AbortSignal | undefined,
  work: (batch: readonly T[], signal: AbortSignal | undefined) => Promise<void>,
): Promise<void> {
  if (items.length === 0) return;
  if (cost < THREADS_FROM) {
    await work(items, undefined);
    return;
  }
  const failed = new AbortController();
  const any = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const results = await Promise.allSettled(
    batches(items).map(async batch => {
      try {
        await work(batch, any);
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  signal?.throwIfAborted();
  if (results.some(result => result.status === 'rejected')) throw failed.signal.reason;
}

function batches<T extends { readonly node: FileNode }>(items: readonly T[]): T[][] {
  const all: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    if (batch.length === BATCH_FILES || (batch.length > 0 && bytes + item.node.size > BATCH_BYTES)) {
      all.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += item.node.size;
  }
  if (batch.length > 0) all.push(batch);
  return all;
}
