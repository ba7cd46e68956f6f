import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { makeDevice, makeNode, makeWhiteout, setTimes } from '../../host/system/inode.ts';
import { type FileStatus, statFile } from '../../host/system/stat.ts';
import { SystemError } from '../../host/system/system-error.ts';
import { readXattrs, setXattr } from '../../host/system/xattr.ts';
import { type BytePath, fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { errorCode, explainWriteError, InvalidArchiveError } from '../content/store-error.ts';
import { type TarHeader, TarType } from '../content/tar-header.ts';
import { GLOBAL_HEADER, type TarHandler } from '../content/tar-reader.ts';
import { copyUp } from './copy-up.ts';
import {
  FileKind,
  findPathInStack,
  isDirectory,
  isWhiteout,
  kindOf,
  OPAQUE_XATTRS,
  type OverlayStack,
} from './overlay-stack.ts';

/** Takes the members of a layer's tar. */
export interface LayerUnpacker extends TarHandler, Disposable {
  /** Sets what must be set last, the times of directories. */
  finish(): void;
  /** Whether something of the layers below is hidden: a whiteout or an opaque directory was made. */
  hides(): boolean;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const XATTR = 'SCHILY.xattr.';
const MOST_LINKS = 255;
/** Later times do not fit a signed 64-bit count of nanoseconds. */
const LAST_TIME = 9_223_372_036;

interface OpenFile {
  readonly file: number;
  readonly path: BytePath;
  readonly header: TarHeader;
  position: number;
}

/**
 * Unpacks a layer's tar into `root`, an empty directory, in overlay's format (layers facts, section 2). Nothing is ever
 * made outside of it, whatever the names and links say.
 *
 * Its methods throw `InvalidArchiveError`, `StoreUnwritableError`, `SystemError` and errors of `node:fs`.
 */
export function createLayerUnpacker(root: BytePath, lower: OverlayStack, unprivileged: boolean): LayerUnpacker {
  /** Where the parents in the tar's names are, by name; forgotten when something is replaced. */
  const directories = new Map<BytePath, BytePath>();
  const directoryTimes = new Map<BytePath, TarHeader>();
  const opaqueXattr = OPAQUE_XATTRS[unprivileged ? 1 : 0];
  let hides = false;
  let open: OpenFile | undefined;

  /** Resolves the names of a path inside the root, links followed, and makes what is missing. */
  const resolve = (name: BytePath): BytePath => {
    const known = directories.get(name);
    if (known !== undefined) return known;
    const rest = name.split('/').reverse();
    let at: BytePath[] = [];
    let links = 0;
    for (let part = rest.pop(); part !== undefined; part = rest.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at.pop();
        continue;
      }
      const path = [root, ...at, part].join('/');
      const status = statFile(systemPath(path));
      if (status !== undefined && kindOf(status) === FileKind.symlink) {
        if (++links > MOST_LINKS) throw new InvalidArchiveError(`too many links on the way to ${fromBytePath(name)}`);
        const target = readlinkSync(systemPath(path), { encoding: 'latin1' });
        if (target.startsWith('/')) at = [];
        rest.push(...target.split('/').reverse());
        continue;
      }
      at.push(part);
      if (status === undefined || !isDirectory(status)) makeParent(at.join('/'), path, status);
    }
    const found = [root, ...at].join('/');
    directories.set(name, found);
    return found;
  };

  /** A directory that the tar does not have looks like the one below, if there is one. */
  const makeParent = (relative: BytePath, path: BytePath, status: FileStatus | undefined): void => {
    if (status !== undefined && !isWhiteout(status)) {
      throw new InvalidArchiveError(`${fromBytePath(relative)} is not a directory, but has files in it`);
    }
    const target = systemPath(path);
    if (status !== undefined) unlinkSync(target);
    mkdirSync(target, 0o755);
    if (status !== undefined) makeOpaque(path);
    const below = lower.length === 0 ? undefined : findPathInStack(lower, relative);
    if (below === undefined || !isDirectory(below.status)) {
      chmodSync(target, 0o755);
      return;
    }
    const { uid, gid, mode, mtimeSeconds, mtimeNanoseconds } = below.status;
    lchownSync(target, uid, gid);
    chmodSync(target, mode & 0o7777);
    for (const [key, value] of readXattrs(systemPath(below.path))) {
      if (!/^(trusted|user)\.overlay\./.test(key)) giveXattr(path, key, value);
    }
    directoryTimes.set(path, {
      name: relative,
      type: TarType.directory,
      mode,
      uid,
      gid,
      size: 0,
      mtime: mtimeSeconds,
      mtimeNanoseconds,
    });
  };

  const makeOpaque = (path: BytePath): void => {
    setXattr(systemPath(path), opaqueXattr, Buffer.from('y'));
    hides = true;
  };

  const whiteout = (header: TarHeader, directory: BytePath, base: BytePath): void => {
    if (base === OPAQUE) {
      makeOpaque(directory);
      return;
    }
    // Notes of aufs to itself.
    if (base.startsWith(`${WHITEOUT}${WHITEOUT}`)) return;
    const name = base.slice(WHITEOUT.length);
    if (name === '' || name === '.' || name === '..') {
      throw new InvalidArchiveError(`invalid whiteout name: ${fromBytePath(base)}: invalid archive`);
    }
    const path = `${directory}/${name}`;
    const target = systemPath(path);
    const status = statFile(target);
    // A whiteout means what is below; what this layer itself has stays.
    if (status !== undefined) {
      if (isDirectory(status)) makeOpaque(path);
      return;
    }
    makeWhiteout(target);
    lchownSync(target, header.uid, header.gid);
    hides = true;
  };

  const remove = (path: BytePath, status: FileStatus): void => {
    if (!isDirectory(status)) {
      unlinkSync(systemPath(path));
    } else {
      rmSync(systemPath(path), { recursive: true });
      for (const other of directoryTimes.keys()) {
        if (other === path || other.startsWith(`${path}/`)) directoryTimes.delete(other);
      }
    }
    directories.clear();
  };

  const makeLink = (header: TarHeader, path: BytePath): void => {
    const target = header.linkname ?? '';
    const slash = target.lastIndexOf('/') + 1;
    const base = target.slice(slash);
    const directory = resolve(target.slice(0, slash));
    if (base === '' || base === '.' || base === '..') {
      throw new InvalidArchiveError(`${fromBytePath(header.name)} is a link to a directory`);
    }
    const source = `${directory}/${base}`;
    // The target may be a file of a lower layer, which then belongs to this one too.
    if (statFile(systemPath(source)) === undefined) copyUp(lower, source.slice(root.length + 1), source);
    linkSync(systemPath(source), systemPath(path));
  };

  const giveXattr = (path: BytePath, key: string, value: Uint8Array): void => {
    // Those of the administrator are not an image's to set.
    if (key.startsWith('trusted.') || (unprivileged && key.startsWith('user.overlay.'))) return;
    try {
      setXattr(systemPath(path), key, value);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.code === 'EOPNOTSUPP' || error.code === 'ENOTSUP') return;
      // Only regular files and directories can have user attributes (xattr(7)); what is unprivileged cannot set others.
      if (error.code === 'EPERM' && (key.startsWith('user.') || unprivileged)) return;
      throw error;
    }
  };

  const giveXattrs = (header: TarHeader, path: BytePath): void => {
    if (header.records === undefined) return;
    for (const [key, value] of header.records) {
      if (key.startsWith(XATTR)) giveXattr(path, fromBytePath(key.slice(XATTR.length)), Buffer.from(value, 'latin1'));
    }
  };

  const giveTimes = (header: TarHeader, path: BytePath): void => {
    const time = nanoseconds(header);
    setTimes(systemPath(path), time, time);
  };

  const create = (header: TarHeader, path: BytePath, replaced: FileStatus | undefined): void => {
    const target = systemPath(path);
    switch (header.type) {
      case TarType.directory:
        if (replaced === undefined || !isDirectory(replaced)) mkdirSync(target, 0o700);
        if (replaced !== undefined && isWhiteout(replaced)) makeOpaque(path);
        break;
      case TarType.file:
        if (!openNew(header, path)) throw new InvalidArchiveError(`${fromBytePath(header.name)} cannot be replaced`);
        return;
      case TarType.symlink:
        symlinkSync(systemPath(header.linkname ?? ''), target);
        break;
      case TarType.link:
        makeLink(header, path);
        break;
      case TarType.fifo:
        makeNode(target, FileKind.fifo | 0o600);
        break;
      case TarType.char:
      case TarType.block: {
        if (unprivileged) return;
        const [major, minor] = [header.devmajor ?? 0, header.devminor ?? 0];
        makeNode(
          target,
          (header.type === TarType.char ? FileKind.char : FileKind.block) | 0o600,
          makeDevice(major, minor),
        );
        if (header.type === TarType.char && major === 0 && minor === 0) hides = true;
        break;
      }
      default:
        throw new InvalidArchiveError(
          `unhandled tar header type ${header.type.charCodeAt(0)} of ${fromBytePath(header.name)}`,
        );
    }
    lchownSync(target, header.uid, header.gid);
    giveXattrs(header, path);
    const isLink = header.type === TarType.symlink || (header.type === TarType.link && isSymlink(path));
    if (!isLink) chmodSync(target, header.mode);
    giveTimes(header, path);
    if (header.type === TarType.directory) directoryTimes.set(path, header);
  };

  /** Makes a file where nothing is: what nearly all members of a layer ask for. */
  const openNew = (header: TarHeader, path: BytePath): boolean => {
    try {
      open = { file: openSync(systemPath(path), 'wx', 0o600), path, header, position: 0 };
      return true;
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      throw error;
    }
  };

  const explainOwner = (error: unknown, { name, uid, gid }: TarHeader): unknown => {
    if (!unprivileged || errorCode(error) !== 'EINVAL') return explainWriteError(error, fromBytePath(root));
    return new InvalidArchiveError(
      `${fromBytePath(name)} belongs to ${uid}:${gid}, which this user namespace does not have: ` +
        'give the user more ids in /etc/subuid and /etc/subgid',
      { cause: error },
    );
  };

  const closeFile = (): void => {
    if (open === undefined) return;
    const { file, path, header, position } = open;
    open = undefined;
    try {
      if (position < header.size) ftruncateSync(file, header.size);
      fchownSync(file, header.uid, header.gid);
      giveXattrs(header, path);
      fchmodSync(file, header.mode);
      if ((header.mtimeNanoseconds ?? 0) === 0 && inRange(header)) futimesSync(file, header.mtime, header.mtime);
      else giveTimes(header, path);
    } finally {
      closeSync(file);
    }
  };

  return {
    entry(header) {
      if (header.type === GLOBAL_HEADER) return;
      try {
        const [parent, base] = splitName(header.name);
        if (base === '') return;
        const directory = resolve(parent);
        if (base.startsWith(WHITEOUT)) {
          whiteout(header, directory, base);
          return;
        }
        const path = `${directory}/${base}`;
        if (header.type === TarType.file && openNew(header, path)) return;
        const existing = statFile(systemPath(path));
        if (existing !== undefined && !(isDirectory(existing) && header.type === TarType.directory)) {
          remove(path, existing);
        }
        create(header, path, existing);
      } catch (error) {
        throw explainOwner(error, header);
      }
    },
    data(chunk) {
      if (open === undefined) return;
      try {
        for (let at = 0; at < chunk.length; ) {
          const written = writeSync(open.file, chunk, at, chunk.length - at, open.position);
          at += written;
          open.position += written;
        }
      } catch (error) {
        throw explainWriteError(error, fromBytePath(root));
      }
    },
    hole(length) {
      if (open !== undefined) open.position += length;
    },
    end() {
      const header = open?.header;
      try {
        closeFile();
      } catch (error) {
        throw header === undefined ? error : explainOwner(error, header);
      }
    },
    finish() {
      for (const [path, header] of directoryTimes) giveTimes(header, path);
    },
    hides: () => hides,
    [Symbol.dispose]() {
      if (open !== undefined) closeSync(open.file);
      open = undefined;
    },
  };
}

/** The parents and the last name of a path, cleaned as text; `..` stops at the root. */
function splitName(name: BytePath): readonly [parent: BytePath, base: BytePath] {
  const parts: BytePath[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const base = parts.pop() ?? '';
  return [parts.join('/'), base];
}

function isSymlink(path: BytePath): boolean {
  const status = statFile(systemPath(path));
  return status !== undefined && kindOf(status) === FileKind.symlink;
}

function inRange(header: TarHeader): boolean {
  return header.mtime >= 0 && header.mtime < LAST_TIME;
}

function nanoseconds(header: TarHeader): bigint {
  return inRange(header) ? BigInt(header.mtime) * 1_000_000_000n + BigInt(header.mtimeNanoseconds ?? 0) : 0n;
}
