import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FileNode } from './file-tree.ts';
import { replaceFile } from './replace-file.ts';

/** A record that was found. */
interface CachedRecord {
  /** 64 hex digits. */
  readonly hex: string;
  readonly hasXattrs: boolean;
}

/**
 * Digests of the file records of one directory, found by what lstat(2) says of the file: device, inode, size, type and
 * mode, mtime and ctime to the nanosecond. The kernel sets ctime by its own clock at every change of content, mode, owner
 * or extended attributes and nobody can put it back, so an equal ctime means an equal file.
 */
export interface RecordCache {
  get(node: FileNode): CachedRecord | undefined;
  /** Keeps a digest if the file cannot change any more without its ctime changing too. */
  put(node: FileNode, digest: Uint8Array, hasXattrs: boolean): void;
  /** Writes what was put since, if that can be; atomic, the last of several processes wins. */
  save(): void;
}

export interface RecordCacheOptions {
  /** The directory is never written to again, so that what was just made can be trusted at once. */
  readonly immutable?: boolean;
  /** Milliseconds since the epoch, from before the directory was read. */
  readonly openedAt: number;
}

/**
 * A change within one tick of the kernel's clock leaves ctime as it was, so files that were changed just before they were
 * read are read again the next time (git calls them racily clean). Ticks are at most 10 ms long; file systems that keep
 * whole seconds have them as long as 2 s.
 */
const TICK_MS = 20;
const COARSE_TICK_MS = 2000;

const MAGIC = 0x6f637263;
const VERSION = 1;
const HEADER_BYTES = 64;
/** The columns but for digests have 8 bytes an entry for five of them and 4 for five more; digests have 32. */
const ENTRY_BYTES = 5 * 8 + 4 * 5 + 32;
const HAS_XATTRS = 1 << 16;
/** How many times a file was not there when the cache was written. */
const AGE = 1 << 17;
const MAX_AGE = 8;

interface Columns {
  readonly count: number;
  /** Inode numbers as numbers, rounded when large; the entries are sorted by it. */
  readonly key: Float64Array;
  readonly device: Float64Array;
  readonly size: Float64Array;
  readonly mtimeSeconds: Float64Array;
  readonly ctimeSeconds: Float64Array;
  readonly mtimeNanoseconds: Uint32Array;
  readonly ctimeNanoseconds: Uint32Array;
  readonly inoHigh: Uint32Array;
  readonly inoLow: Uint32Array;
  readonly meta: Uint32Array;
  readonly digest: Buffer;
}

/** Opens the cache in a file, which need not be there; a damaged one counts as empty. It is read when first asked. */
export function openRecordCache(path: string, options: RecordCacheOptions): RecordCache {
  let old: Columns | undefined;
  let used = new Uint8Array(0);
  const added = new Map<FileNode, AddedRecord>();

  function load(): Columns {
    if (old === undefined) {
      old = read(path);
      used = new Uint8Array(old.count);
    }
    return old;
  }

  return {
    get: node => {
      const columns = load();
      const index = find(columns, node);
      if (index < 0) return undefined;
      used[index] = 1;
      const hex = columns.digest.toString('hex', index * 32, index * 32 + 32);
      return { hex, hasXattrs: ((columns.meta[index] ?? 0) & HAS_XATTRS) !== 0 };
    },
    put: (node, digest, hasXattrs) => {
      if (options.immutable !== true && !isSettled(node, options.openedAt)) return;
      added.set(node, { digest, hasXattrs });
    },
    save: () => {
      if (added.size === 0) return;
      replaceFile(path, merge(load(), used, added));
      added.clear();
      old = undefined;
    },
  };
}

interface AddedRecord {
  readonly digest: Uint8Array;
  readonly hasXattrs: boolean;
}

/** Whether a file cannot change any more, after the time in milliseconds at which it was read, without its ctime changing too. */
export function isSettled(node: FileNode, readAt: number): boolean {
  return readAt - ctimeMs(node) >= tickMs(node);
}

function ctimeMs({ status }: FileNode): number {
  return status.ctimeSeconds * 1000 + status.ctimeNanoseconds / 1e6;
}

function tickMs({ status }: FileNode): number {
  return status.ctimeNanoseconds === 0 && status.mtimeNanoseconds === 0 ? COARSE_TICK_MS : TICK_MS;
}

function keyOf({ inoHigh, inoLow }: { readonly inoHigh: number; readonly inoLow: number }): number {
  return inoHigh * 2 ** 32 + inoLow;
}

function find(columns: Columns, node: FileNode): number {
  const { status } = node;
  const key = keyOf(status);
  for (let index = lowerBound(columns.key, key); columns.key[index] === key; index++) {
    if (
      columns.inoLow[index] === status.inoLow &&
      columns.inoHigh[index] === status.inoHigh &&
      columns.ctimeNanoseconds[index] === status.ctimeNanoseconds &&
      columns.ctimeSeconds[index] === status.ctimeSeconds &&
      columns.mtimeNanoseconds[index] === status.mtimeNanoseconds &&
      columns.mtimeSeconds[index] === status.mtimeSeconds &&
      columns.size[index] === status.size &&
      columns.device[index] === status.device &&
      ((columns.meta[index] ?? 0) & 0xffff) === status.mode
    ) {
      return index;
    }
  }
  return -1;
}

function lowerBound(keys: Float64Array, key: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? 0) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The entries in one buffer, column by column. */
function columnsIn(bytes: Buffer, count: number): Columns {
  const wide = (column: number) =>
    new Float64Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES + column * 8 * count, count);
  const narrowStart = bytes.byteOffset + HEADER_BYTES + 5 * 8 * count;
  const narrow = (column: number) => new Uint32Array(bytes.buffer, narrowStart + column * 4 * count, count);
  return {
    count,
    key: wide(0),
    device: wide(1),
    size: wide(2),
    mtimeSeconds: wide(3),
    ctimeSeconds: wide(4),
    mtimeNanoseconds: narrow(0),
    ctimeNanoseconds: narrow(1),
    inoHigh: narrow(2),
    inoLow: narrow(3),
    meta: narrow(4),
    digest: Buffer.from(bytes.buffer, narrowStart + 5 * 4 * count, 32 * count),
  };
}

function allocate(count: number): Buffer {
  return Buffer.from(new ArrayBuffer(HEADER_BYTES + count * ENTRY_BYTES));
}

function read(path: string): Columns {
  const empty = columnsIn(allocate(0), 0);
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch {
    return empty;
  }
  if (file.length < HEADER_BYTES || file.readUInt32LE(0) !== MAGIC || file.readUInt32LE(4) !== VERSION) return empty;
  const count = file.readUInt32LE(8);
  if (file.length !== HEADER_BYTES + count * ENTRY_BYTES) return empty;
  // The columns need their alignment, which a pooled buffer does not have.
  const bytes = file.byteOffset % 8 === 0 ? file : allocate(count).fill(file);
  return seal(bytes).equals(file.subarray(32, 64)) ? columnsIn(bytes, count) : empty;
}

/** What tells a whole file from one that a crash of the machine cut. */
function seal(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes.subarray(HEADER_BYTES)).digest();
}

type Writer = (to: Columns, index: number) => void;

function merge(old: Columns, used: Uint8Array, added: ReadonlyMap<FileNode, AddedRecord>): Buffer {
  const writers: { readonly key: number; readonly write: Writer }[] = [];
  const fresh = new Set<string>();
  for (const [node, record] of added) {
    // Hard links are one file.
    const inode = node.inode;
    if (fresh.has(inode)) continue;
    fresh.add(inode);
    writers.push({ key: keyOf(node.status), write: newEntry(node, record) });
  }
  for (let from = 0; from < old.count; from++) {
    const meta = used[from] === 1 ? (old.meta[from] ?? 0) % AGE : (old.meta[from] ?? 0) + AGE;
    // An inode that was read anew makes what was known of it void, and so do many runs without it.
    if (meta >= MAX_AGE * AGE || fresh.has(`${old.device[from]} ${old.inoHigh[from]} ${old.inoLow[from]}`)) continue;
    writers.push({ key: old.key[from] ?? 0, write: oldEntry(old, from, meta) });
  }
  writers.sort((a, b) => a.key - b.key);
  const bytes = allocate(writers.length);
  const columns = columnsIn(bytes, writers.length);
  for (const [index, { key, write: writeTo }] of writers.entries()) {
    columns.key[index] = key;
    writeTo(columns, index);
  }
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(writers.length, 8);
  seal(bytes).copy(bytes, 32);
  return bytes;
}

function newEntry({ status }: FileNode, { digest, hasXattrs }: AddedRecord): Writer {
  return (to, index) => {
    to.device[index] = status.device;
    to.size[index] = status.size;
    to.mtimeSeconds[index] = status.mtimeSeconds;
    to.ctimeSeconds[index] = status.ctimeSeconds;
    to.mtimeNanoseconds[index] = status.mtimeNanoseconds;
    to.ctimeNanoseconds[index] = status.ctimeNanoseconds;
    to.inoHigh[index] = status.inoHigh;
    to.inoLow[index] = status.inoLow;
    to.meta[index] = status.mode | (hasXattrs ? HAS_XATTRS : 0);
    to.digest.set(digest, index * 32);
  };
}

function oldEntry(old: Columns, from: number, meta: number): Writer {
  return (to, index) => {
    for (const column of ['device', 'size', 'mtimeSeconds', 'ctimeSeconds'] as const) {
      to[column][index] = old[column][from] ?? 0;
    }
    for (const column of ['mtimeNanoseconds', 'ctimeNanoseconds', 'inoHigh', 'inoLow'] as const) {
      to[column][index] = old[column][from] ?? 0;
    }
    to.meta[index] = meta;
    to.digest.set(old.digest.subarray(from * 32, from * 32 + 32), index * 32);
  };
}
