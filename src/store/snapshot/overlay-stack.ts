import { readdirSync } from 'node:fs';
import { type FileStatus, statFile } from '../../host/system/stat.ts';
import { getXattr, listXattrs } from '../../host/system/xattr.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';

/**
 * A directory as overlay would show it: the directories that it is made of, top first. What is in it is found without
 * mounting anything. An empty list is a directory that is not there.
 */
export type OverlayStack = readonly BytePath[];

/** A file as overlay would show it. */
export interface StackedFile {
  /** Where it lies on the disk. */
  readonly path: BytePath;
  readonly status: FileStatus;
  /** What a directory is made of, `path` first; empty for anything else. */
  readonly stack: OverlayStack;
}

const S_IFMT = 0o170000;
export const FileKind = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

/** The type of a file, one of `FileKind`. */
export function kindOf(status: FileStatus): number {
  return status.mode & S_IFMT;
}

export function isDirectory(status: FileStatus): boolean {
  return kindOf(status) === FileKind.directory;
}

/** Whether the file says that what has its name in lower layers is gone: a character device 0/0. */
export function isWhiteout(status: FileStatus): boolean {
  return kindOf(status) === FileKind.char && status.major === 0 && status.minor === 0;
}

/** The attributes by which a directory hides what lower layers have in it; the second is that of unprivileged mounts. */
export const OPAQUE_XATTRS = ['trusted.overlay.opaque', 'user.overlay.opaque'] as const;

/** Whether a directory hides what lower layers have in it. */
export function isOpaque(path: BytePath): boolean {
  const file = systemPath(path);
  const names = listXattrs(file);
  if (names.length === 0) return false;
  return OPAQUE_XATTRS.some(name => names.includes(name) && getXattr(file, name)?.toString('latin1') === 'y');
}

/** What has a name in a stacked directory, or undefined. Throws `SystemError`. */
export function findInStack(stack: OverlayStack, name: BytePath): StackedFile | undefined {
  let found: StackedFile | undefined;
  let directories: BytePath[] | undefined;
  for (let i = 0; i < stack.length; i++) {
    const path = `${stack[i]}/${name}`;
    const status = statFile(systemPath(path));
    if (status === undefined) continue;
    if (!isDirectory(status)) {
      if (found === undefined && !isWhiteout(status)) return { path, status, stack: [] };
      break;
    }
    if (found === undefined || directories === undefined) {
      directories = [path];
      found = { path, status, stack: directories };
    } else {
      directories.push(path);
    }
    if (i < stack.length - 1 && isOpaque(path)) break;
  }
  return found;
}

/** What a path (no slash at either end) leads to, no links followed. The empty path is the root of the stack itself. */
export function findPathInStack(stack: OverlayStack, path: BytePath): StackedFile | undefined {
  let found: StackedFile | undefined;
  let at = stack;
  for (const name of path.split('/')) {
    if (at.length === 0) return undefined;
    found = findInStack(at, name);
    at = found?.stack ?? [];
  }
  return found;
}

/** The names in a directory of the disk, in byte order. */
export function namesIn(path: BytePath): BytePath[] {
  return readdirSync(systemPath(path), { encoding: 'latin1' }).sort(compareBytes);
}

/** All names in a stacked directory with what they are, in byte order. Throws `SystemError`. */
export function listStack(stack: OverlayStack): (readonly [BytePath, StackedFile])[] {
  const names = new Set<BytePath>();
  for (const path of stack) for (const name of namesIn(path)) names.add(name);
  const found: (readonly [BytePath, StackedFile])[] = [];
  for (const name of [...names].sort(compareBytes)) {
    const file = findInStack(stack, name);
    if (file !== undefined) found.push([name, file]);
  }
  return found;
}

function compareBytes(a: BytePath, b: BytePath): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
