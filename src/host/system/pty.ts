import { closeSync, constants, openSync } from 'node:fs';
import { declare } from './libc.ts';
import { check } from './system-error.ts';

/** Of ioctl_tty(2); the same on every architecture that Node runs on. */
const TIOCSWINSZ = 0x5414;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;

const ioctl = declare<[number, number, Uint8Array]>('ioctl', 'int', ['int', 'ulong', 'void *']);

/** A pseudo-terminal, as file descriptors that their owner closes. */
export interface PtyEnds {
  /** What is written here is typed. */
  readonly master: number;
  /** What a program gets for its terminal. */
  readonly slave: number;
}

/** Makes a pseudo-terminal: pty(7). Throws `SystemError`, and the errors of `node:fs`. */
export function openPty(): PtyEnds {
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync('/dev/ptmx', flags);
  try {
    const number = Buffer.alloc(4);
    check(ioctl(master, TIOCSPTLCK, number), 'ioctl');
    check(ioctl(master, TIOCGPTN, number), 'ioctl');
    return { master, slave: openSync(`/dev/pts/${number.readUInt32LE()}`, flags) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Tells a terminal how large it is, in characters. Throws `SystemError`. */
export function setWindowSize(terminal: number, rows: number, columns: number): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  check(ioctl(terminal, TIOCSWINSZ, size), 'ioctl');
}
