import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { STATUS_WORDS } from '../../host/system/stat.ts';
import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import type { Digest } from '../../wire/oci/digest.ts';

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
const VERSION = 1;
const HEADER_BYTES = 64;
const ENTRY_BYTES = STATUS_WORDS * 4 + 32 + 1;

type Row = readonly [path: string, count: number, digest: string, links: readonly string[]];

/** What has never been listed. */
export function noListings(): Listings {
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
  if (!seal(file).equals(file.subarray(32, 64))) return noListings();
  const count = file.readUInt32LE(8);
  const rowsEnd = HEADER_BYTES + count * ENTRY_BYTES + file.readUInt32LE(12);
  // The columns need their alignment, which a pooled buffer does not have.
  const bytes = file.byteOffset % 4 === 0 ? file : Buffer.concat([file]);
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

/** What tells a whole file from one that a crash of the machine cut. */
function seal(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes.subarray(0, 32)).update(bytes.subarray(HEADER_BYTES)).digest();
}

/** Writes listings; atomic, the last of several processes wins. */
export function writeListings(path: string, { directories, statuses, records, flags }: Listings): void {
  const rows = [...directories].map(
    ([directory, { count, digest, links }]): Row => [directory, count, digest?.slice('sha256:'.length) ?? '', links],
  );
  const table = Buffer.from(JSON.stringify(rows));
  const names = Buffer.from([...directories.values()].map(directory => directory.names).join('/'), 'latin1');
  const bytes = Buffer.concat([
    Buffer.alloc(HEADER_BYTES),
    Buffer.from(statuses.buffer, statuses.byteOffset, statuses.byteLength),
    records,
    flags,
    table,
    names,
  ]);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(flags.length, 8);
  bytes.writeUInt32LE(table.length, 12);
  seal(bytes).copy(bytes, 32);
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
