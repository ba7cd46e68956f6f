import type { BytePath } from '../../fsutil/byte-path.ts';

/** A file as it travels: `fsutil.types.Stat`. */
export interface FileStat {
  /** Below the root of the tree, without a leading slash. */
  readonly path: BytePath;
  /** Go's `os.FileMode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes; 0 of a directory, the length of the target of a symlink. */
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly modTime: bigint;
  /** The target of a symlink, or of a further name of a file its first; else empty. */
  readonly linkname: BytePath;
  readonly devmajor: number;
  readonly devminor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** Bits of Go's `os.FileMode` beside the permissions. */
export const GoMode = {
  dir: 2 ** 31,
  symlink: 1 << 27,
  device: 1 << 26,
  namedPipe: 1 << 25,
  setuid: 1 << 23,
  setgid: 1 << 22,
  charDevice: 1 << 21,
  sticky: 1 << 20,
} as const;

const PERMISSIONS = 0o777;
const TYPE_BITS =
  GoMode.dir + GoMode.symlink + GoMode.device + GoMode.namedPipe + GoMode.charDevice + 2 ** 24 + 2 ** 19;

/** What a mode says a file is. Sockets travel as empty regular files. */
export type StatType = 'file' | 'dir' | 'symlink' | 'fifo' | 'char' | 'block';

/** What a mode says a file is. */
export function typeOfMode(mode: number): StatType {
  if (mode >= GoMode.dir) return 'dir';
  if (mode & GoMode.symlink) return 'symlink';
  if (mode & GoMode.namedPipe) return 'fifo';
  if (mode & GoMode.device) return mode & GoMode.charDevice ? 'char' : 'block';
  return 'file';
}

/** Whether a file with this mode has contents that can be asked for. */
export function hasContents(mode: number): boolean {
  // Bitwise operators are signed, the highest bit is not.
  return mode < GoMode.dir && (mode & (TYPE_BITS - GoMode.dir)) === 0;
}

const TYPE_MODES: ReadonlyMap<number, number> = new Map([
  [0o010000, GoMode.namedPipe],
  [0o020000, GoMode.device + GoMode.charDevice],
  [0o040000, GoMode.dir],
  [0o060000, GoMode.device],
  [0o120000, GoMode.symlink],
]);

/** Go's `os.FileMode` for a `st_mode`. */
export function toGoMode(mode: number): number {
  return (
    (mode & PERMISSIONS) +
    (TYPE_MODES.get(mode & 0o170000) ?? 0) +
    (mode & 0o4000 ? GoMode.setuid : 0) +
    (mode & 0o2000 ? GoMode.setgid : 0) +
    (mode & 0o1000 ? GoMode.sticky : 0)
  );
}

/** The permission bits of a Go mode, with setuid, setgid and sticky, as chmod(2) takes them. */
export function permissionsOf(mode: number): number {
  return (
    (mode & PERMISSIONS) |
    (mode & GoMode.setuid ? 0o4000 : 0) |
    (mode & GoMode.setgid ? 0o2000 : 0) |
    (mode & GoMode.sticky ? 0o1000 : 0)
  );
}
