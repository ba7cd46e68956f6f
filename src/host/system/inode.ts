import { declare, errno } from './libc.ts';
import { check, cString, SystemError, type SystemPath } from './system-error.ts';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const FICLONE = 0x40049409;
const NANOSECONDS = 1_000_000_000n;

const mknodNative = declare<[SystemPath, number, bigint]>('mknod', 'int', ['str', 'uint', 'uint64']);
const utimensatNative = declare<[number, SystemPath, BigInt64Array, number]>('utimensat', 'int', [
  'int',
  'str',
  'void *',
  'int',
]);
const ioctlNative = declare<[number, number, number]>('ioctl', 'int', ['int', 'ulong', 'long']);
const copyRangeNative = declare<[number, null, number, null, number, number]>('copy_file_range', 'long', [
  'int',
  'void *',
  'int',
  'void *',
  'size_t',
  'uint',
]);

/** The kernel's number for a device (`dev_t` as `stat` gives it in `rdev`). */
export function makeDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
}

/** The major and minor number in a `dev_t`. */
export function splitDevice(device: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffff_ff00n)),
  };
}

/**
 * Makes a special file: mknod(2). The process's umask applies. Throws `SystemError`.
 *
 * @param mode File type (`S_IFCHR`, `S_IFBLK`, `S_IFIFO`, `S_IFSOCK`, `S_IFREG`) and permission bits.
 * @param device From `makeDevice`; only for devices.
 */
export function makeNode(path: SystemPath, mode: number, device: bigint = 0n): void {
  check(mknodNative(cString(path), mode, device), 'mknod', path);
}

/** Makes overlay's whiteout: a character device 0/0. Throws `SystemError`. */
export function makeWhiteout(path: SystemPath): void {
  makeNode(path, 0o020000, 0n);
}

const times = new BigInt64Array(4);

/**
 * Sets access and modification time to the nanosecond, of a link itself and not of what it points to. Throws
 * `SystemError`.
 *
 * @param accessed Nanoseconds since the epoch, may be negative.
 * @param modified Nanoseconds since the epoch, may be negative.
 */
export function setTimes(path: SystemPath, accessed: bigint, modified: bigint): void {
  writeTime(0, accessed);
  writeTime(2, modified);
  check(utimensatNative(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path);
}

function writeTime(at: number, nanoseconds: bigint): void {
  // The nanosecond field is never negative, so seconds round down.
  const rest = ((nanoseconds % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  times[at] = (nanoseconds - rest) / NANOSECONDS;
  times[at + 1] = rest;
}

/**
 * Makes one open file share another's blocks (`FICLONE`), on file systems that can.
 *
 * @returns Whether it did; the destination is unchanged if not.
 */
export function cloneFile(from: number, to: number): boolean {
  return ioctlNative(to, FICLONE, from) === 0;
}

/**
 * Copies bytes between open files inside the kernel, from and to their current offsets: copy_file_range(2). Throws
 * `SystemError`.
 *
 * @returns How many bytes were copied, 0 at the end of the file, or undefined where the file systems cannot do it.
 */
export function copyFileRange(from: number, to: number, length: number): number | undefined {
  const copied = copyRangeNative(from, null, to, null, length, 0);
  if (copied >= 0) return copied;
  const number = errno();
  // EXDEV, EINVAL, ENOSYS, EOPNOTSUPP: these two files cannot; a plain copy can.
  if (number === 18 || number === 22 || number === 38 || number === 95) return undefined;
  throw new SystemError(number, 'copy_file_range');
}
