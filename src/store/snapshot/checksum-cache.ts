import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileNode } from './file-tree.ts';

/** A record that was found. */
export interface CachedRecord {
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
  /** Nanoseconds since the epoch, from before the directory was read. */
  readonly openedAt: bigint;
}

/**
 * A change within one tick of the kernel's clock leaves ctime as it was, so files that were changed just before they were
 * read are read again the next time (git calls them racily clean). Ticks are at most 10 ms long; file systems that keep
 * whole seconds have them as long as 2 s.
 */
const TICK = 20_000_000n;
const COARSE_TICK = 2_000_000_000n;
const SECOND = 1_000_000_000n;

const MAGIC = 0x6f637263;
const VERSION = 1;
const HEADER_BYTES = 64;
/** Per entry: inode, device, mtime, ctime, size (8 bytes each), type, mode and flags (4), digest (32). */
const ENTRY_BYTES = 76;
const HAS_XATTRS = 1 << 16;
/** How many times a file was not there when the cache was written. */
const AGE = 1 << 17;
const MAX_AGE = 8;

interface Columns {
  readonly count: number;
  readonly ino: BigUint64Array;
  readonly dev: BigUint64Array;
  readonly mtime: BigInt64Array;
  readonly ctime: BigInt64Array;
  readonly size: Float64Array;
  readonly meta: Uint32Array;
  readonly digest: Buffer;
}

/** Opens the cache in a file, which need not be there; a damaged one counts as empty. It is read when first asked. */
export function openRecordCache(path: string, options: RecordCacheOptions): RecordCache {
  let old: Columns | undefined;
  let keys: Float64Array | undefined;
  let used = new Uint8Array(0);
  const added = new Map<FileNode, { readonly digest: Uint8Array; readonly hasXattrs: boolean }>();

  function load(): Columns {
    if (old === undefined) {
      old = read(path);
      keys = Float64Array.from(old.ino, Number);
      used = new Uint8Array(old.count);
    }
    return old;
  }

  function find(node: FileNode): number {
    const columns = load();
    for (let index = lowerBound(keys ?? new Float64Array(0), Number(node.ino)); index < columns.count; index++) {
      if (keys?.[index] !== Number(node.ino)) break;
      if (
        columns.ctime[index] === node.ctime &&
        columns.mtime[index] === node.mtime &&
        columns.size[index] === node.size &&
        columns.ino[index] === node.ino &&
        columns.dev[index] === node.dev &&
        ((columns.meta[index] ?? 0) & 0xffff) === typeAndMode(node)
      ) {
        return index;
      }
    }
    return -1;
  }

  return {
    get: node => {
      const index = find(node);
      if (index < 0) return undefined;
      used[index] = 1;
      const { digest, meta } = load();
      const hex = digest.toString('hex', index * 32, index * 32 + 32);
      return { hex, hasXattrs: ((meta[index] ?? 0) & HAS_XATTRS) !== 0 };
    },
    put: (node, digest, hasXattrs) => {
      if (options.immutable !== true && options.openedAt - node.ctime < tickOf(node)) return;
      added.set(node, { digest, hasXattrs });
    },
    save: () => {
      if (added.size === 0) return;
      write(path, merge(load(), used, added));
      added.clear();
      old = undefined;
    },
  };
}

function tickOf(node: FileNode): bigint {
  return node.ctime % SECOND === 0n && node.mtime % SECOND === 0n ? COARSE_TICK : TICK;
}

const TYPES = { file: 1, dir: 2, symlink: 3, fifo: 4, char: 5, block: 6, socket: 7 } as const;

function typeAndMode(node: FileNode): number {
  return (TYPES[node.type] << 12) | node.mode;
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
  const at = (column: number): number => bytes.byteOffset + HEADER_BYTES + column * 8 * count;
  return {
    count,
    ino: new BigUint64Array(bytes.buffer, at(0), count),
    dev: new BigUint64Array(bytes.buffer, at(1), count),
    mtime: new BigInt64Array(bytes.buffer, at(2), count),
    ctime: new BigInt64Array(bytes.buffer, at(3), count),
    size: new Float64Array(bytes.buffer, at(4), count),
    meta: new Uint32Array(bytes.buffer, at(5), count),
    digest: Buffer.from(bytes.buffer, at(5) + 4 * count, 32 * count),
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

function merge(
  old: Columns,
  used: Uint8Array,
  added: ReadonlyMap<FileNode, { readonly digest: Uint8Array; readonly hasXattrs: boolean }>,
): Buffer {
  interface Entry {
    readonly ino: bigint;
    readonly write: (to: Columns, index: number) => void;
  }
  const fresh = new Set([...added.keys()].map(node => node.ino));
  const entries: Entry[] = [];
  for (let from = 0; from < old.count; from++) {
    const ino = old.ino[from] ?? 0n;
    const meta = used[from] === 1 ? (old.meta[from] ?? 0) % AGE : (old.meta[from] ?? 0) + AGE;
    // An inode that was read anew makes what was known of it void, and so do many runs without it.
    if (fresh.has(ino) || meta >= MAX_AGE * AGE) continue;
    entries.push({
      ino,
      write: (to, index) => {
        to.dev[index] = old.dev[from] ?? 0n;
        to.mtime[index] = old.mtime[from] ?? 0n;
        to.ctime[index] = old.ctime[from] ?? 0n;
        to.size[index] = old.size[from] ?? 0;
        to.meta[index] = meta;
        to.digest.set(old.digest.subarray(from * 32, from * 32 + 32), index * 32);
      },
    });
  }
  const names = new Set<string>();
  for (const [node, { digest, hasXattrs }] of added) {
    // Hard links are one file.
    if (node.nlink > 1 && node.type !== 'dir') {
      const name = `${node.dev} ${node.ino}`;
      if (names.has(name)) continue;
      names.add(name);
    }
    entries.push({
      ino: node.ino,
      write: (to, index) => {
        to.dev[index] = node.dev;
        to.mtime[index] = node.mtime;
        to.ctime[index] = node.ctime;
        to.size[index] = node.size;
        to.meta[index] = typeAndMode(node) | (hasXattrs ? HAS_XATTRS : 0);
        to.digest.set(digest, index * 32);
      },
    });
  }
  entries.sort((a, b) => Number(a.ino) - Number(b.ino));
  const bytes = allocate(entries.length);
  const columns = columnsIn(bytes, entries.length);
  for (const [index, entry] of entries.entries()) {
    columns.ino[index] = entry.ino;
    entry.write(columns, index);
  }
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(entries.length, 8);
  seal(bytes).copy(bytes, 32);
  return bytes;
}

function write(path: string, bytes: Buffer): void {
  const temporary = `${path}.${randomUUID()}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, bytes);
    renameSync(temporary, path);
  } catch {
    // A root that is full or read-only is for those to report who must write to it.
    rmSync(temporary, { force: true });
  }
}
