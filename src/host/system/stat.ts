import { type BigIntStats, lstatSync } from 'node:fs';
import { splitDevice } from './inode.ts';
import { declare, errno } from './libc.ts';
import { cString, SystemError, type SystemPath } from './system-error.ts';

/** What the kernel says of a file. All numbers are exact and small, so that a hundred thousand of these cost little. */
export interface FileStatus {
  /** File type and permission bits (`st_mode`). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes. */
  readonly size: number;
  readonly nlink: number;
  /** The two halves of the inode number, which may be too large for a number. */
  readonly inoHigh: number;
  readonly inoLow: number;
  /** Number of the file system: one for each pair of major and minor. */
  readonly device: number;
  /** Of a device node: what it is for. */
  readonly major: number;
  readonly minor: number;
  /** Since the epoch, rounded down; the rest in nanoseconds. */
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly ctimeSeconds: number;
  readonly ctimeNanoseconds: number;
}

const AT_FDCWD = -100;
/** AT_SYMLINK_NOFOLLOW and AT_NO_AUTOMOUNT. */
const LINKS_THEMSELVES = 0x900;
const STATX_BASIC_STATS = 0x7ff;
const [ENOENT, ENOTDIR, ENAMETOOLONG, EPERM, ENOSYS] = [2, 20, 36, 1, 38];
const HALF = 2 ** 32;

const statx = declare<[number, SystemPath, number, number, Uint8Array]>('statx', 'int', [
  'int',
  'str',
  'int',
  'uint',
  'void *',
]);

// struct statx (linux/stat.h), the same on every architecture but for the order of bytes.
const bytes = new Uint8Array(256);
const words = new Uint32Array(bytes.buffer);
const shorts = new Uint16Array(bytes.buffer);
const seconds = new BigInt64Array(bytes.buffer);
const LOW = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;
let isMissing = false;

/** How many numbers of 32 bits hold a status. */
export const STATUS_WORDS = 18;
/** Where `statx` puts them; mode comes first, and is a short. The order of halves is the machine's. */
const WORD_INDEXES = [4, 5, 6, 8, 9, 10, 11, 24, 25, 26, 28, 29, 30, 32, 33, 34, 35] as const;

/**
 * What lstat(2) says of a path, or undefined if nothing is there. Twice as fast as `lstatSync`, which makes thirty values
 * for each file. Throws `SystemError`.
 */
export function statFile(path: SystemPath): FileStatus | undefined {
  if (isMissing) return statByNode(path);
  return readStatus(path) ? scratchStatus() : isMissing ? statByNode(path) : undefined;
}

/**
 * Whether what lstat(2) says of a path is what `packStatus` wrote into `known` at `start`: the same status, without an object
 * for it. Throws `SystemError`.
 *
 * @param directory An open directory that the path starts at; the current one unless given.
 */
export function hasStatus(path: SystemPath, known: Uint32Array, start: number, directory?: number): boolean {
  if (isMissing || !readStatus(path, directory)) return isMissing && hasStatusByNode(path, known, start, directory);
  if (known[start] !== shorts[14]) return false;
  for (let index = 0; index < WORD_INDEXES.length; index++) {
    if (known[start + 1 + index] !== words[WORD_INDEXES[index] ?? 0]) return false;
  }
  return true;
}

function hasStatusByNode(path: SystemPath, known: Uint32Array, start: number, directory: number | undefined): boolean {
  const prefix = directory === undefined ? '' : `/proc/self/fd/${directory}/`;
  const status = statByNode(typeof path === 'string' ? prefix + path : Buffer.concat([Buffer.from(prefix), path]));
  if (status === undefined) return false;
  const packed = new Uint32Array(STATUS_WORDS);
  packStatus(status, packed, 0);
  return packed.every((word, index) => word === known[start + index]);
}

/** Writes a status as `STATUS_WORDS` numbers, for this machine. */
export function packStatus(status: FileStatus, into: Uint32Array, start: number): void {
  shorts[14] = status.mode;
  words[4] = status.nlink;
  words[5] = status.uid;
  words[6] = status.gid;
  words[8 + HIGH] = status.inoHigh;
  words[8 + LOW] = status.inoLow;
  words[10 + LOW] = status.size % HALF;
  words[10 + HIGH] = Math.floor(status.size / HALF);
  seconds[12] = BigInt(status.ctimeSeconds);
  words[26] = status.ctimeNanoseconds;
  seconds[14] = BigInt(status.mtimeSeconds);
  words[30] = status.mtimeNanoseconds;
  words[32] = status.major;
  words[33] = status.minor;
  words[34] = Math.floor(status.device / 2 ** 20);
  words[35] = status.device % 2 ** 20;
  into[start] = status.mode;
  for (let index = 0; index < WORD_INDEXES.length; index++) {
    into[start + 1 + index] = words[WORD_INDEXES[index] ?? 0] ?? 0;
  }
}

/** The status that `packStatus` wrote. */
export function unpackStatus(packed: Uint32Array, start: number): FileStatus {
  shorts[14] = packed[start] ?? 0;
  for (let index = 0; index < WORD_INDEXES.length; index++) {
    words[WORD_INDEXES[index] ?? 0] = packed[start + 1 + index] ?? 0;
  }
  return scratchStatus();
}

/** Reads into the buffer; false if nothing is there, or `statx` is missing. */
function readStatus(path: SystemPath, directory = AT_FDCWD): boolean {
  let result: number;
  try {
    result = statx(directory, cString(path), LINKS_THEMSELVES, STATX_BASIC_STATS, bytes);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    // A C library without statx(2).
    isMissing = true;
    return false;
  }
  if (result < 0) {
    const number = errno();
    if (number === ENOENT || number === ENOTDIR || number === ENAMETOOLONG) return false;
    if (number !== ENOSYS && number !== EPERM) throw new SystemError(number, 'lstat', path);
    // An old kernel, or a sandbox around us that forbids what it does not know.
    isMissing = true;
    return false;
  }
  return true;
}

function scratchStatus(): FileStatus {
  return {
    mode: shorts[14] ?? 0,
    uid: words[5] ?? 0,
    gid: words[6] ?? 0,
    size: (words[10 + LOW] ?? 0) + (words[10 + HIGH] ?? 0) * HALF,
    nlink: words[4] ?? 0,
    inoHigh: words[8 + HIGH] ?? 0,
    inoLow: words[8 + LOW] ?? 0,
    device: (words[34] ?? 0) * 2 ** 20 + (words[35] ?? 0),
    major: words[32] ?? 0,
    minor: words[33] ?? 0,
    mtimeSeconds: secondsAt(28),
    mtimeNanoseconds: words[30] ?? 0,
    ctimeSeconds: secondsAt(24),
    ctimeNanoseconds: words[26] ?? 0,
  };
}

function secondsAt(word: number): number {
  return words[word + HIGH] === 0 ? (words[word + LOW] ?? 0) : Number(seconds[word / 2]);
}

const NANOSECONDS = 1_000_000_000n;

function statByNode(path: SystemPath): FileStatus | undefined {
  let stats: BigIntStats | undefined;
  try {
    stats = lstatSync(typeof path === 'string' ? path : Buffer.from(path), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined;
    throw error;
  }
  if (stats === undefined) return undefined;
  const { mtimeNs, ctimeNs } = stats;
  const device = splitDevice(stats.dev);
  const below = (time: bigint): bigint => ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  return {
    mode: Number(stats.mode),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    nlink: Number(stats.nlink),
    inoHigh: Number(stats.ino >> 32n),
    inoLow: Number(stats.ino & 0xffff_ffffn),
    device: device.major * 2 ** 20 + device.minor,
    ...splitDevice(stats.rdev),
    mtimeSeconds: Number((mtimeNs - below(mtimeNs)) / NANOSECONDS),
    mtimeNanoseconds: Number(below(mtimeNs)),
    ctimeSeconds: Number((ctimeNs - below(ctimeNs)) / NANOSECONDS),
    ctimeNanoseconds: Number(below(ctimeNs)),
  };
}
