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

/**
 * What lstat(2) says of a path, or undefined if nothing is there. Twice as fast as `lstatSync`, which makes thirty values
 * for each file. Throws `SystemError`.
 */
export function statFile(path: SystemPath): FileStatus | undefined {
  if (isMissing) return statByNode(path);
  let result: number;
  try {
    result = statx(AT_FDCWD, cString(path), LINKS_THEMSELVES, STATX_BASIC_STATS, bytes);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    // A C library without statx(2).
    isMissing = true;
    return statByNode(path);
  }
  if (result < 0) {
    const number = errno();
    if (number === ENOENT || number === ENOTDIR || number === ENAMETOOLONG) return undefined;
    if (number !== ENOSYS && number !== EPERM) throw new SystemError(number, 'lstat', path);
    // An old kernel, or a sandbox around us that forbids what it does not know.
    isMissing = true;
    return statByNode(path);
  }
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
