import {
  chmodSync,
  closeSync,
  constants,
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
  /** Files whose contents come; undefined until the first of them. Until then there is nothing of them on the disk. */
  const open = new Map<BytePath, number | undefined>();

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

  function openFile(path: BytePath): number {
    const known = open.get(path);
    if (known !== undefined) return known;
    const file = openSync(locate(path), NEW_FILE, 0o600);
    open.set(path, file);
    return file;
  }

  function makeFile(stat: FileStat, type: StatType): void {
    const location = locate(stat.path);
    if (type === 'dir') mkdirSync(location, 0o700);
    else if (type === 'symlink') symlinkSync(systemPath(stat.linkname), location);
    else if (type === 'file') {
      if (open.has(stat.linkname)) openFile(stat.linkname);
      linkSync(locate(stat.linkname), location);
    } else {
      const device = type === 'fifo' ? 0n : makeDevice(stat.devmajor, stat.devminor);
      makeNode(location, (FORMATS[type] ?? 0) | permissionsOf(stat.mode), device);
    }
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
      if (type === 'file' && stat.linkname === '') {
        open.set(stat.path, undefined);
        return;
      }
      if (type !== 'dir' || !old?.isDirectory()) makeFile(stat, type);
      setMetadata(stat);
    },
    write(stat, data) {
      const file = openFile(stat.path);
      for (let at = 0; at < data.length; ) at += writeSync(file, data, at);
    },
    close(stat) {
      closeSync(openFile(stat.path));
      open.delete(stat.path);
      // Only now: writing changes the time, and may clear setuid and setgid.
      setMetadata(stat);
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
      for (const file of open.values()) if (file !== undefined) closeSync(file);
      open.clear();
    },
  };
}

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

function statIfThere(location: string | Buffer): Stats | undefined {
  return lstatSync(location, { throwIfNoEntry: false });
}

/** Attributes that the file system or our rights do not allow are left out, as fsutil has it. */
function tryToSet(location: string | Buffer, name: string, value: Uint8Array): void {
  try {
    setXattr(location, name, value);
  } catch {}
}
