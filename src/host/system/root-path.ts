import { closeSync, constants, lstatSync, openSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { declare, errno } from './libc.ts';
import { SystemError } from './system-error.ts';

const SYS_OPENAT2 = 437;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const RESOLVE_IN_ROOT = 0x10;
const MOST_LINKS = 255;

const openat2 = declare<[number, number, string, BigUint64Array, number]>('syscall', 'long', [
  'long',
  'long',
  'str',
  'void *',
  'size_t',
]);

/**
 * Where a path leads when `root` is the root directory: links are followed inside it, and `..` never leaves it. Parts
 * that do not exist stay as they are. Only for a tree that nobody else is changing.
 *
 * Throws Node's error with code `ENOTDIR` for a path through a file, and `ELOOP`.
 *
 * @returns A path that starts with `root`.
 */
export function resolveInRoot(root: string, path: string): string {
  let at = '/';
  let rest = parts(path);
  for (let links = 0; rest.length > 0; ) {
    const [part = '', ...after] = rest;
    const next = part === '..' ? join(at, '..') : join(at, part);
    rest = after;
    const stat = part === '..' ? undefined : lstatSync(join(root, next), { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() === true) {
      links += 1;
      if (links > MOST_LINKS) throw new SystemError(40, 'readlink', join(root, next));
      const target = readlinkSync(join(root, next));
      if (target.startsWith('/')) at = '/';
      rest = [...parts(target), ...rest];
    } else {
      at = next;
    }
  }
  return at === '/' ? root : join(root, at);
}

function parts(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.');
}

/**
 * Opens the place of a path inside a root directory as a handle (`O_PATH`), safe against others who swap parts for links
 * meanwhile. `/proc/self/fd/N` names it. Throws `SystemError`.
 *
 * @returns A file descriptor that its owner closes.
 */
export function openInRoot(root: string, path: string): number {
  const directory = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const how = new BigUint64Array([BigInt(O_PATH | O_CLOEXEC), 0n, BigInt(RESOLVE_IN_ROOT)]);
    const descriptor = openat2(SYS_OPENAT2, directory, path, how, how.byteLength);
    if (descriptor >= 0) return descriptor;
    // ENOSYS: Linux before 5.6.
    if (errno() !== 38) throw new SystemError(errno(), 'open', path);
  } finally {
    closeSync(directory);
  }
  return openSync(resolveInRoot(root, path), O_PATH);
}
