import { closeSync, readSync } from 'node:fs';
import { declare, errno } from './libc.ts';
import { check, SystemError } from './system-error.ts';

// The numbers of system calls added since Linux 5.1 are the same on every architecture.
const SYS_MOVE_MOUNT = 429;
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;

const CLOSE_ON_EXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const MOUNT_ATTR_READ_ONLY = 1;
const AT_FDCWD = -100;
const MOVE_MOUNT_FROM_EMPTY_PATH = 4;

const fsopen = declare<[number, string, number]>('syscall', 'long', ['long', 'str', 'long']);
const fsconfig = declare<[number, number, number, string | null, string | null, number]>('syscall', 'long', [
  'long',
  'long',
  'long',
  'str',
  'str',
  'long',
]);
const fsmount = declare<[number, number, number, number]>('syscall', 'long', ['long', 'long', 'long', 'long']);
const moveMount = declare<[number, number, string, number, string, number]>('syscall', 'long', [
  'long',
  'long',
  'str',
  'long',
  'str',
  'long',
]);

/** The kernel's limit for one option value, with its NUL. */
export const LONGEST_VALUE = 255;

/**
 * Mounts a new file system through the mount API of Linux 5.2: each option is one call, so their total length has no
 * limit, and the kernel says in words what it dislikes.
 *
 * Throws `SystemError`; its syscall is `fsopen` when the kernel does not offer the API.
 *
 * @param options In order; `true` for an option without a value. No value is longer than `LONGEST_VALUE` bytes.
 */
export function mountNew(
  type: string,
  target: string,
  options: readonly (readonly [name: string, value: string | true])[],
  readOnly: boolean,
): void {
  const context = check(fsopen(SYS_FSOPEN, type, CLOSE_ON_EXEC), 'fsopen', type);
  try {
    for (const [name, value] of options) {
      const [command, text] =
        value === true ? ([FSCONFIG_SET_FLAG, null] as const) : ([FSCONFIG_SET_STRING, value] as const);
      explain(fsconfig(SYS_FSCONFIG, context, command, name, text, 0), context, target);
    }
    explain(fsconfig(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0), context, target);
    const detached = fsmount(SYS_FSMOUNT, context, CLOSE_ON_EXEC, readOnly ? MOUNT_ATTR_READ_ONLY : 0);
    explain(detached, context, target);
    try {
      check(
        moveMount(SYS_MOVE_MOUNT, detached, '', AT_FDCWD, target, MOVE_MOUNT_FROM_EMPTY_PATH),
        'move_mount',
        target,
      );
    } finally {
      closeSync(detached);
    }
  } finally {
    closeSync(context);
  }
}

function explain(result: number, context: number, target: string): void {
  if (result >= 0) return;
  const number = errno();
  throw new SystemError(number, 'mount', target, messages(context));
}

/** What the kernel logged about a mount in the making: lines of `e overlay: text`. */
function messages(context: number): string | undefined {
  const buffer = Buffer.alloc(4096);
  const lines: string[] = [];
  try {
    for (let length = readSync(context, buffer); length > 0; length = readSync(context, buffer)) {
      lines.push(buffer.toString('utf8', 2, length).trim());
    }
  } catch {
    // ENODATA: no more lines.
  }
  return lines.length === 0 ? undefined : lines.join('; ');
}
