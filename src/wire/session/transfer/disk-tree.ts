import { createReadStream, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type FileStatus, statFile } from '../../../host/system/stat.ts';
import { readXattrs } from '../../../host/system/xattr.ts';
import { type BytePath, systemPath, toBytePath } from '../../fsutil/byte-path.ts';
import { type FileType, type ReadableTree, type TreeEntry, walkTree } from '../../fsutil/tree.ts';
import { type FileStat, toGoMode } from './file-stat.ts';
import type { FileAccess } from './send-tree.ts';

/** A file of the disk. */
export interface DiskEntry extends TreeEntry {
  /** Absolute. */
  readonly location: BytePath;
  readonly status: FileStatus;
}

/** How a directory is shown. */
export interface DiskTreeOptions {
  /** The owner that all files have, whatever the disk says: clients send their directories as root's. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'char'],
  [0o040000, 'dir'],
  [0o060000, 'block'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);
const CHUNK = 512 * 1024;
/** Below this, waiting for another thread takes longer than reading. */
const SMALL = 64 * 1024;

/**
 * A directory of the disk, read as it is asked for. What has vanished was never there.
 *
 * Reading throws the errors of `node:fs` and SystemError.
 */
export function diskTree(
  directory: string,
  { owner }: DiskTreeOptions = {},
): ReadableTree<DiskEntry> & FileAccess<DiskEntry> {
  const top = toBytePath(directory).replace(/(?<=.)\/+$/, '');
  const found = statFile(systemPath(`${top}/`));
  if (found === undefined) throw new Error(`${directory} is no directory`);
  const root: DiskEntry = { name: '', type: 'dir', location: top === '/' ? '' : top, status: found };

  function child(parent: DiskEntry, name: BytePath): DiskEntry | undefined {
    const location = `${parent.location}/${name}`;
    const status = statFile(systemPath(location));
    return status && { name, type: TYPES.get(status.mode & 0o170000) ?? 'file', location, status };
  }

  return {
    root,
    children: parent => namesIn(parent).flatMap(name => child(parent, name) ?? []),
    child,
    readlink: link => readlinkSync(systemPath(link.location), 'latin1'),
    attributes: ({ location, status, type }) => {
      const { mode, uid, gid, size, nlink, major, minor, device, inoHigh, inoLow } = status;
      return {
        mode,
        uid: owner?.uid ?? uid,
        gid: owner?.gid ?? gid,
        size,
        mtime: BigInt(status.mtimeSeconds) * 1_000_000_000n + BigInt(status.mtimeNanoseconds),
        ...(type === 'char' || type === 'block' ? { major, minor } : { major: 0, minor: 0 }),
        inode: nlink > 1 && type !== 'dir' ? `${device}:${inoHigh}:${inoLow}` : undefined,
        xattrs: sentXattrs(location),
      };
    },
    read: ({ location, status }) =>
      status.size <= SMALL ? readWhole(location) : createReadStream(systemPath(location), { highWaterMark: CHUNK }),
  };
}

function* readWhole(location: BytePath): Generator<Uint8Array> {
  yield readFileSync(systemPath(location));
}

/** The files of a directory in tree order, as a receiver compares them with those that come; without attributes. */
export function* diskStats(directory: string): Generator<FileStat, undefined> {
  const tree = diskTree(directory);
  const firstNames = new Map<string, BytePath>();
  for (const [path, { type, status, location }] of walkTree(tree)) {
    const { mode, uid, gid, size, nlink, major, minor, device, inoHigh, inoLow } = status;
    const isDevice = type === 'char' || type === 'block';
    let linkname = type === 'symlink' ? readlinkSync(systemPath(location), 'latin1') : '';
    if (nlink > 1 && type !== 'dir' && type !== 'symlink') {
      const inode = `${device}:${inoHigh}:${inoLow}`;
      linkname = firstNames.get(inode) ?? '';
      if (linkname === '') firstNames.set(inode, path);
    }
    yield {
      path,
      mode: toGoMode(mode),
      uid,
      gid,
      size,
      modTime: BigInt(status.mtimeSeconds) * 1_000_000_000n + BigInt(status.mtimeNanoseconds),
      linkname,
      devmajor: isDevice ? major : 0,
      devminor: isDevice ? minor : 0,
      xattrs: noXattrs,
    };
  }
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function sentXattrs(location: BytePath): ReadonlyMap<string, Uint8Array> {
  const all = readXattrs(systemPath(location));
  if (all.size === 0) return noXattrs;
  const names = [...all.keys()].filter(name => !name.startsWith('com.apple.')).sort();
  return new Map(names.map(name => [name, all.get(name) ?? new Uint8Array()]));
}

function namesIn({ location }: DiskEntry): BytePath[] {
  // Something else may have come in place of the directory, a link out of the tree for one.
  if (location !== '' && ((statFile(systemPath(location))?.mode ?? 0) & 0o170000) !== 0o040000) return [];
  try {
    return readdirSync(systemPath(location === '' ? '/' : location), 'latin1').sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
    throw error;
  }
}
