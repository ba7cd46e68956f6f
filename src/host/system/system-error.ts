import { constants } from 'node:os';
import { errno, strerror } from './libc.ts';

/** A path as Linux has it: text, or bytes when the name is not UTF-8. Neither may contain NUL. */
export type SystemPath = string | Uint8Array;

/** Numbers that Node's table lacks. */
const MORE_CODES: Readonly<Record<number, string>> = { 107: 'ENOTCONN', 117: 'EUCLEAN', 131: 'ENOTRECOVERABLE' };

const CODES = new Map<number, string>();

function codeOf(number: number): string {
  if (CODES.size === 0) {
    for (const [name, value] of Object.entries(constants.errno)) if (!CODES.has(value)) CODES.set(value, name);
    CODES.set(constants.errno.EAGAIN, 'EAGAIN');
    CODES.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
  }
  return CODES.get(number) ?? MORE_CODES[number] ?? `E${number}`;
}

/** A system call that failed. `message` reads `mount /mnt: permission denied`. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  /** The positive error number. */
  readonly errno: number;
  /** The error's name, such as `ENOENT`. */
  readonly code: string;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(number: number, syscall: string, path?: SystemPath, detail?: string) {
    const shown = path === undefined ? undefined : pathText(path);
    const text = strerror(number);
    const subject = shown === undefined ? syscall : `${syscall} ${shown}`;
    super(`${subject}: ${detail === undefined ? '' : `${detail}: `}${text.charAt(0).toLowerCase()}${text.slice(1)}`);
    this.errno = number;
    this.code = codeOf(number);
    this.syscall = syscall;
    this.path = shown;
  }
}

/** The result of a C call, or a `SystemError` with the current errno when it is negative. */
export function check(result: number, syscall: string, path?: SystemPath): number {
  if (result < 0) throw new SystemError(errno(), syscall, path);
  return result;
}

/** The bytes that a C string parameter takes: text as it is, bytes with a final NUL. Throws on an embedded NUL. */
export function cString(path: SystemPath): SystemPath {
  if (typeof path === 'string') {
    if (path.includes('\0')) throw new TypeError(`path contains a NUL character: ${JSON.stringify(path)}`);
    return path;
  }
  const end = path.indexOf(0);
  if (end === path.length - 1) return path;
  if (end >= 0) throw new TypeError('path contains a NUL byte');
  const terminated = new Uint8Array(path.length + 1);
  terminated.set(path);
  return terminated;
}

function pathText(path: SystemPath): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString('utf8').replace(/\0$/, '');
}
