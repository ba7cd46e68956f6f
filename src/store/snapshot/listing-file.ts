import { readFileSync } from 'node:fs';
import { STATUS_WORDS } from '../../host/system/stat.ts';
import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import type { Digest } from '../../wire/oci/digest.ts';
import { replaceFile } from './replace-file.ts';

/** What a directory held. The children are a row of entries of `Listings`. */
export interface StoredDirectory {
  /** Names of the children, sorted, with NULs between them. */
  readonly names: BytePath;
  /** Targets of those of them that are links, in the same order. */
  readonly links: readonly BytePath[];
  /** Number of the entry of the first child; the entry before it is the directory itself. */
  readonly first: number;
  readonly count: number;
  /** The checksum of the directory with all below it; undefined where the view leaves it out. */
  readonly digest: Digest | undefined;
}

/** What is known of an entry. */
export const EntryFlag = {
  /** It has a record. */
  record: 1,
  xattrs: 2,
  /** It is a directory, and what lies in it counted too. */
  entered: 4,
} as const;

/** Directories by path below their root, and what they held as columns. */
export interface Listings {
  readonly directories: ReadonlyMap<BytePath, StoredDirectory>;
  /** `STATUS_WORDS` for each entry. */
  readonly statuses: Uint32Array;
  /** 32 bytes for each entry. */
  readonly records: Buffer;
  readonly flags: Uint8Array;
}

const MAGIC = 0x6f636c73;
const VERSION = 2;
/** Six numbers: magic, version, entries, bytes of the table of directories, seal, none. A multiple of four bytes. */
const HEADER_BYTES = 24;
const SEAL_AT = 16;
const ENTRY_BYTES = STATUS_WORDS * 4 + 32 + 1;

type Row = readonly [path: string, count: number, digest: string, links: readonly string[]];

/** What has never been listed. */
function noListings(): Listings {
  return { directories: new Map(), statuses: new Uint32Array(0), records: Buffer.alloc(0), flags: new Uint8Array(0) };
}

/** Reads listings from a file; none if it is missing, damaged, or of another version. */
export function readListings(path: string): Listings {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch {
    return noListings();
  }
  if (file.length < HEADER_BYTES || file.readUInt32LE(0) !== MAGIC || file.readUInt32LE(4) !== VERSION)
    return noListings();
  // The columns need their alignment, which a pooled buffer does not have.
  const bytes = file.byteOffset % 4 === 0 ? file : Buffer.from(new Uint8Array(file).buffer);
  if (seal(bytes) !== bytes.readUInt32LE(SEAL_AT)) return noListings();
  const count = file.readUInt32LE(8);
  const rowsEnd = HEADER_BYTES + count * ENTRY_BYTES + file.readUInt32LE(12);
  const columns = columnsIn(bytes, count);
  const rows: Row[] = JSON.parse(bytes.toString('utf8', HEADER_BYTES + count * ENTRY_BYTES, rowsEnd));
  const names = bytes.toString('latin1', rowsEnd).split('/');
  const directories = new Map<BytePath, StoredDirectory>();
  let next = 0;
  for (const [index, [directory, children, digest, links]] of rows.entries()) {
    const known = digest === '' ? undefined : (`sha256:${digest}` as const);
    directories.set(directory, { names: names[index] ?? '', links, first: next + 1, count: children, digest: known });
    next += 1 + children;
  }
  return { directories, ...columns };
}

/** Room for entries, in columns of one buffer. */
function columnsIn(bytes: Buffer, count: number): Omit<Listings, 'directories'> {
  const start = bytes.byteOffset + HEADER_BYTES;
  const records = start + count * STATUS_WORDS * 4;
  return {
    statuses: new Uint32Array(bytes.buffer, start, count * STATUS_WORDS),
    records: Buffer.from(bytes.buffer, records, count * 32),
    flags: new Uint8Array(bytes.buffer, records + count * 32, count),
  };
}

/** What tells a whole file from one that a crash of the machine cut: a sum in which each word and its place count. */
function seal(bytes: Buffer): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  let sum = bytes.length;
  for (let index = 0; index < words.length; index++) {
    if (index !== SEAL_AT / 4) sum = Math.imul(sum ^ (words[index] ?? 0), 0x01000193) + index;
  }
  for (const byte of bytes.subarray(words.length * 4)) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

/** Writes listings; atomic, the last of several processes wins. */
export function writeListings(path: string, { directories, statuses, records, flags }: Listings): void {
  const rows = [...directories].map(
    ([directory, { count, digest, links }]): Row => [directory, count, digest?.slice('sha256:'.length) ?? '', links],
  );
  const table = Buffer.from(JSON.stringify(rows));
  const names = Buffer.from([...directories.values()].map(directory => directory.names).join('/'), 'latin1');
  const parts = [
    Buffer.alloc(HEADER_BYTES),
    Buffer.from(statuses.buffer, statuses.byteOffset, statuses.byteLength),
    records,
    flags,
    table,
    names,
  ];
  const bytes = Buffer.from(new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.length;
  }
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(flags.length, 8);
  bytes.writeUInt32LE(table.length, 12);
  bytes.writeUInt32LE(seal(bytes), SEAL_AT);
  replaceFile(path, bytes);
}
