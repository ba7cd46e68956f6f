import {
  chmodSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  lchownSync,
  openSync,
  readSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { cloneFile, copyFileRange, makeDevice, makeNode, setTimes } from '../../host/system/inode.ts';
import type { FileStatus } from '../../host/system/stat.ts';
import { readXattrs, setXattr } from '../../host/system/xattr.ts';
import { type BytePath, fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { InvalidArchiveError } from '../content/store-error.ts';
import { linkTarget } from './layer-changes.ts';
import { FileKind, findPathInStack, isDirectory, kindOf, type OverlayStack } from './overlay-stack.ts';

/**
 * Copies a file of lower layers into a layer, as overlay does before it changes one. Throws `InvalidArchiveError` if there
 * is none or it is a directory.
 *
 * @param name Its path in the layers.
 */
export function copyUp(lower: OverlayStack, name: BytePath, target: BytePath): void {
  const found = lower.length === 0 ? undefined : findPathInStack(lower, name);
  if (found === undefined || isDirectory(found.status)) {
    throw new InvalidArchiveError(`a hard link to ${fromBytePath(name)}, which is no file of this or a lower layer`);
  }
  copyFile(found.path, found.status, target);
}

/** Copies one file that is no directory, with all that it has: owner, mode, times, extended attributes. */
export function copyFile(source: BytePath, status: FileStatus, target: BytePath): void {
  const path = systemPath(target);
  const kind = kindOf(status);
  if (kind === FileKind.file) copyContent(source, status.size, target);
  else if (kind === FileKind.symlink) symlinkSync(systemPath(linkTarget(source)), path);
  else makeNode(path, kind | 0o600, makeDevice(status.major, status.minor));
  copyMetadata(source, status, target);
}

/** Gives a file the owner, mode, times and extended attributes of another; overlay's own marks are left out. */
export function copyMetadata(source: BytePath, status: FileStatus, target: BytePath): void {
  const path = systemPath(target);
  lchownSync(path, status.uid, status.gid);
  if (kindOf(status) !== FileKind.symlink) chmodSync(path, status.mode & 0o7777);
  for (const [key, value] of readXattrs(systemPath(source))) {
    if (!/^(trusted|user)\.overlay\./.test(key)) setXattr(path, key, value);
  }
  const time = BigInt(status.mtimeSeconds) * 1_000_000_000n + BigInt(status.mtimeNanoseconds);
  setTimes(path, time, time);
}

const CHUNK = 1 << 20;

function copyContent(source: BytePath, size: number, target: BytePath): void {
  const from = openSync(systemPath(source), 'r');
  try {
    const to = openSync(systemPath(target), 'wx', 0o600);
    try {
      copyBytes(from, to, size);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

/**
 * Copies the content of an open file into an empty one as cheaply as the file systems allow: shared blocks, a copy inside the
 * kernel, a loop. Holes stay holes.
 */
export function copyBytes(from: number, to: number, size: number): void {
  if (size === 0 || cloneFile(from, to)) return;
  if (fstatSync(from).blocks * 512 < size) {
    copyByHand(from, to, true);
    ftruncateSync(to, size);
    return;
  }
  for (let left = size; left > 0; ) {
    const copied = copyFileRange(from, to, left);
    if (copied === undefined) {
      copyByHand(from, to, false);
      return;
    }
    if (copied === 0) return;
    left -= copied;
  }
}

function copyByHand(from: number, to: number, sparse: boolean): void {
  // Holes are looked for in smaller pieces than data is moved in.
  const buffer = Buffer.allocUnsafe(sparse ? CHUNK / 16 : CHUNK);
  const zeros = sparse ? Buffer.alloc(buffer.length) : undefined;
  let position = 0;
  for (let read = readSync(from, buffer); read > 0; read = readSync(from, buffer)) {
    const hole = zeros?.subarray(0, read).equals(buffer.subarray(0, read)) === true;
    for (let at = hole ? read : 0; at < read; ) at += writeSync(to, buffer, at, read - at, position + at);
    position += read;
  }
}
