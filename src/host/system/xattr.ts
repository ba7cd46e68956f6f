import { declare, errno } from './libc.ts';
import { check, cString, SystemError, type SystemPath } from './system-error.ts';

const ERANGE = 34;
const ENODATA = 61;
const ENOTSUP = 95;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel: a buffer of this size never falls short. */
const MAX_SIZE = 65536;

const list = declare<[SystemPath, Uint8Array, number]>('llistxattr', 'long', ['str', 'void *', 'size_t']);
const get = declare<[SystemPath, SystemPath, Uint8Array, number]>('lgetxattr', 'long', [
  'str',
  'str',
  'void *',
  'size_t',
]);
const set = declare<[SystemPath, SystemPath, Uint8Array, number, number]>('lsetxattr', 'int', [
  'str',
  'str',
  'void *',
  'size_t',
  'int',
]);
const remove = declare<[SystemPath, SystemPath]>('lremovexattr', 'int', ['str', 'str']);

let shared: Buffer | undefined;

function scratch(): Buffer {
  shared ??= Buffer.allocUnsafeSlow(MAX_SIZE);
  return shared;
}

/**
 * The names of a file's extended attributes, in the kernel's order; of a link itself, not of what it points to. Empty
 * where the file system has none. Costs a few microseconds when there are none. Throws `SystemError`.
 */
export function listXattrs(path: SystemPath): string[] {
  const buffer = scratch();
  const length = list(cString(path), buffer, MAX_SIZE);
  if (length === 0) return [];
  if (length < 0) {
    if (errno() === ENOTSUP) return [];
    throw new SystemError(errno(), 'llistxattr', path);
  }
  return buffer.toString('utf8', 0, length - 1).split('\0');
}

/** The value of an extended attribute, or undefined if the file does not have it. Throws `SystemError`. */
export function getXattr(path: SystemPath, name: string): Buffer | undefined {
  const buffer = scratch();
  const length = get(cString(path), cString(name), buffer, MAX_SIZE);
  if (length >= 0) return Buffer.from(buffer.subarray(0, length));
  const number = errno();
  if (number === ENODATA || number === ENOTSUP) return undefined;
  throw new SystemError(number, 'lgetxattr', path, number === ERANGE ? 'value too large' : undefined);
}

/** All extended attributes of a file with their values; one call to the kernel when there are none. Throws `SystemError`. */
export function readXattrs(path: SystemPath): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const name of listXattrs(path)) {
    const value = getXattr(path, name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

/** Sets an extended attribute, replacing a former value. Throws `SystemError`. */
export function setXattr(path: SystemPath, name: string, value: Uint8Array): void {
  check(set(cString(path), cString(name), value, value.length, 0), 'lsetxattr', path);
}

/** Sets an extended attribute if the file system takes it, and from this user; BuildKit does not insist either. */
export function trySetXattr(path: SystemPath, name: string, value: Uint8Array): void {
  try {
    setXattr(path, name, value);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

/** Removes an extended attribute; nothing happens if the file does not have it. Throws `SystemError`. */
export function removeXattr(path: SystemPath, name: string): void {
  if (remove(cString(path), cString(name)) >= 0) return;
  if (errno() !== ENODATA) throw new SystemError(errno(), 'lremovexattr', path);
}
