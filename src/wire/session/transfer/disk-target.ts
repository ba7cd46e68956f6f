import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { makeDevice, makeNode, setTimes } from '../../../host/system/inode.ts';
import { setXattr } from '../../../host/system/xattr.ts';
import { type BytePath, systemPath, toBytePath } from '../../fsutil/byte-path.ts';
import { diskStats } from './disk-tree.ts';
import { type FileStat, permissionsOf, type StatType, typeOfMode } from './file-stat.ts';
import type { TreeTarget } from './receive-tree.ts';

/** How a tree is written to the disk. */
export interface DiskTargetOptions {
  /** Who owns the files, whatever the sender says. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** A target that still holds files open when a transfer fails; disposing closes them. */
export interface DiskTarget extends TreeTarget, Disposable {}

const FORMATS: Partial<Record<StatType, number>> = { fifo: 0o010000, char: 0o020000, block: 0o060000 };
/** They say what an overlay mount makes of a file; a sender must not. */
const OVERLAY_XATTR = /^(trusted|user)\.overlay\./;

/**
 * Writes a tree into a directory that is there. What is written never follows links, so it stays inside whatever the sender
 * does; the tree itself must not be changed by others meanwhile.
 */
export function diskTarget(directory: string, { owner }: DiskTargetOptions = {}): DiskTarget {
  const root = toBytePath(directory).replace(/\/+$/, '');
  const locate = (path: BytePath): string | Buffer => systemPath(`${root}/${path}`);
  const open = new Map<BytePath, number>();

  function setMetadata(stat: FileStat): void {
    const location = locate(stat.path);
    lchownSync(location, owner?.uid ?? stat.uid, owner?.gid ?? stat.gid);
    const type = typeOfMode(stat.mode);
    // Until all is written something may still have to be put into a directory.
    if (type === 'dir') chmodSync(location, permissionsOf(stat.mode) | 0o700);
    else if (type !== 'symlink') chmodSync(location, permissionsOf(stat.mode));
    for (const [name, value] of stat.xattrs) if (!OVERLAY_XATTR.test(name)) tryToSet(location, name, value);
    setTimes(location, stat.modTime, stat.modTime);
  }

  function makeFile(stat: FileStat, type: StatType): void {
    const location = locate(stat.path);
    const permissions = permissionsOf(stat.mode);
    if (type === 'dir') mkdirSync(location, 0o700);
    else if (type === 'symlink') symlinkSync(systemPath(stat.linkname), location);
    else if (type !== 'file') {
      const device = type === 'fifo' ? 0n : makeDevice(stat.devmajor, stat.devminor);
      makeNode(location, (FORMATS[type] ?? 0) | permissions, device);
    } else if (stat.linkname !== '') linkSync(locate(stat.linkname), location);
    else closeSync(openSync(location, NEW_FILE, 0o600));
  }

  return {
    existing: () => diskStats(directory),
    remove: path => rmSync(locate(path), { recursive: true, force: true }),
    create(stat) {
      const type = typeOfMode(stat.mode);
      const old = statIfThere(locate(stat.path));
      if (old !== undefined && !(type === 'dir' && old.isDirectory())) {
        if (old.isDirectory()) rmSync(locate(stat.path), { recursive: true });
        else unlinkSync(locate(stat.path));
      }
      if (type !== 'dir' || !old?.isDirectory()) makeFile(stat, type);
      setMetadata(stat);
    },
    write(stat, data) {
      let file = open.get(stat.path);
      if (file === undefined) {
        file = openForWriting(locate(stat.path));
        open.set(stat.path, file);
      }
      for (let at = 0; at < data.length; ) at += writeSync(file, data, at);
    },
    close(stat) {
      const file = open.get(stat.path);
      if (file === undefined) return;
      open.delete(stat.path);
      closeSync(file);
      // Writing changed the time, and may have cleared setuid and setgid.
      chmodSync(locate(stat.path), permissionsOf(stat.mode));
      setTimes(locate(stat.path), stat.modTime, stat.modTime);
    },
    finish(directories) {
      for (const stat of directories) {
        const location = locate(stat.path);
        if (!statIfThere(location)?.isDirectory()) continue;
        chmodSync(location, permissionsOf(stat.mode));
        setTimes(location, stat.modTime, stat.modTime);
      }
    },
    writeMetadata(name, records) {
      rmSync(locate(name), { recursive: true, force: true });
      const file = openSync(locate(name), NEW_FILE, 0o644);
      try {
        for (const record of records) writeFileSync(file, record);
      } finally {
        closeSync(file);
      }
    },
    [Symbol.dispose]() {
      for (const file of open.values()) closeSync(file);
      open.clear();
    },
  };
}

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

function openForWriting(location: string | Buffer): number {
  const flags = constants.O_WRONLY | constants.O_NOFOLLOW;
  let file: number;
  try {
    file = openSync(location, flags);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error;
    // Not root, and a file that its owner may not write; its mode is set again when it is complete.
    chmodSync(location, 0o600);
    file = openSync(location, flags);
  }
  ftruncateSync(file);
  return file;
}

function statIfThere(location: string | Buffer): Stats | undefined {
  return lstatSync(location, { throwIfNoEntry: false });
}

/** Attributes that the file system or our rights do not allow are left out, as fsutil has it. */
function tryToSet(location: string | Buffer, name: string, value: Uint8Array): void {
  try {
    setXattr(location, name, value);
  } catch {}
}
