import { declare } from './libc.ts';
import { mountBits } from './statfs.ts';
import { check } from './system-error.ts';

/** Flags of mount(2). */
export const MountFlag = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  private: 1 << 18,
  slave: 1 << 19,
} as const;

/** nosuid, nodev, noexec, noatime and nodiratime, which statfs(2) and mount(2) number alike. */
const KEPT_BITS = 0xc0en;

/** Flags of umount2(2). */
export const UnmountFlag = { force: 1, detach: 2, noFollow: 8 } as const;

const mountNative = declare<[string | null, string, string | null, number, string | null]>('mount', 'int', [
  'str',
  'str',
  'str',
  'ulong',
  'str',
]);
const umountNative = declare<[string, number]>('umount2', 'int', ['str', 'int']);

/** A mount as mount(2) takes it. */
export interface MountOptions {
  readonly source?: string;
  readonly target: string;
  readonly type?: string;
  /** `MountFlag`s, or-ed. */
  readonly flags?: number;
  /** The file system's own options, comma-separated, below 4096 bytes. */
  readonly data?: string;
}

/** Mounts a file system, binds a directory or changes a mount: mount(2). Throws `SystemError`. */
export function mount(options: MountOptions): void {
  const { source = null, target, type = null, flags = 0, data = null } = options;
  check(mountNative(source, target, type, flags, data), 'mount', target);
}

/** Binds a file or directory, read-only if asked for. Throws `SystemError`. */
export function bindMount(
  source: string,
  target: string,
  options: { readonly readOnly?: boolean; readonly recursive?: boolean } = {},
): void {
  const recursive = options.recursive === true ? MountFlag.recursive : 0;
  mount({ source, target, flags: MountFlag.bind | recursive });
  if (options.readOnly !== true) return;
  try {
    // A bind mount ignores read-only until it is remounted; a user namespace may not drop the source's flags then.
    const kept = Number(mountBits(target) & KEPT_BITS);
    mount({ target, flags: MountFlag.bind | MountFlag.remount | MountFlag.readOnly | recursive | kept });
  } catch (error) {
    unmount(target, UnmountFlag.detach);
    throw error;
  }
}

/** Takes a mount away: umount2(2). With `UnmountFlag.detach` it goes when its last user does. Throws `SystemError`. */
export function unmount(target: string, flags: number = 0): void {
  check(umountNative(target, flags), 'umount', target);
}
