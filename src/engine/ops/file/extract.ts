/** Writes the members of an archive below a directory, as docker's unpacking of archives does. */
import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { makeDevice, makeNode, setTimes } from '../../../host/system/inode.ts';
import { inUserNamespace } from '../../../host/system/overlay.ts';
import { statFile } from '../../../host/system/stat.ts';
import { SystemError } from '../../../host/system/system-error.ts';
import { setXattr } from '../../../host/system/xattr.ts';
import { type TarHeader, TarType } from '../../../store/content/tar-header.ts';
import { GLOBAL_HEADER, type TarHandler } from '../../../store/content/tar-reader.ts';
import { type BytePath, fromBytePath, systemPath } from '../../../wire/fsutil/byte-path.ts';
import { cleanPath } from '../../../wire/fsutil/go-path.ts';
import { makeDirectories } from './make-directories.ts';
import type { Owner } from './owner.ts';
import { rootPath, S_IFDIR, S_IFMT, splitPath } from './root-path.ts';

/** A member that cannot be made. */
class ArchiveMemberError extends Error {
  override readonly name = 'ArchiveMemberError';
}

/** Takes the members of a tar. */
export interface MemberWriter extends TarHandler {
  /** Sets what must be set last, the times of directories. */
  finish(): void;
  /** Closes what is open. */
  close(): void;
}

const XATTR = 'SCHILY.xattr.';
const NANOSECONDS = 1_000_000_000n;
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const [EPERM, EOPNOTSUPP] = ['EPERM', 'EOPNOTSUPP'];
const S_IFIFO = 0o010000;
const NODES: Readonly<Record<string, number>> = { [TarType.char]: 0o020000, [TarType.block]: 0o060000 };

/**
 * Writes members below `place`, which is their root directory: a link or `..` does not lead out of it. What is there is
 * replaced, but for a directory by a directory. Whiteouts are ordinary files.
 *
 * The methods throw `SystemError` with paths below `place`, and {@link ArchiveMemberError}.
 *
 * @param owner Replaces the owners that the archive names.
 */
export function extractMembers(place: BytePath, owner: Owner | undefined): MemberWriter {
  /** Directories by the names that lead there, until a link may have changed that. */
  const directories = new Map<BytePath, BytePath>();
  const times: (readonly [BytePath, bigint])[] = [];
  let open: { readonly file: number; readonly path: BytePath; readonly header: TarHeader; offset: number } | undefined;

  function directoryOf(name: BytePath): BytePath {
    const [above] = splitPath(name);
    let found = directories.get(above);
    if (found === undefined) {
      found = rootPath(place, above);
      // Only what is missing by name is made; a link that leads nowhere stays one.
      if (statFile(systemPath(rootPath(place, above, false))) === undefined) makeDirectories(found, { mode: 0o755 });
      directories.set(above, found);
    }
    return found;
  }

  function write(header: TarHeader, name: BytePath, path: BytePath): void {
    const target = systemPath(path);
    switch (header.type) {
      case TarType.directory:
        if (statFile(target) === undefined) mkdirSync(target);
        break;
      case TarType.file:
        open = { file: openSync(target, WRITE, 0o600), path, header, offset: 0 };
        return;
      case TarType.symlink:
        symlinkSync(systemPath(header.linkname ?? ''), target);
        directories.clear();
        break;
      case TarType.link:
        linkSync(systemPath(rootPath(place, header.linkname ?? '', false)), target);
        break;
      case TarType.char:
      case TarType.block:
        // Nobody may make devices there; docker leaves them out.
        if (inUserNamespace()) return;
        makeNode(target, (NODES[header.type] ?? 0) | 0o600, makeDevice(header.devmajor ?? 0, header.devminor ?? 0));
        break;
      case TarType.fifo:
        makeNode(target, S_IFIFO | 0o600);
        break;
      default:
        throw new ArchiveMemberError(`unhandled tar header type ${header.type.charCodeAt(0)}: ${fromBytePath(name)}`);
    }
    giveMetadata(header, path);
  }

  function giveMetadata(header: TarHeader, path: BytePath): void {
    const target = systemPath(path);
    lchownSync(target, owner?.uid ?? header.uid, owner?.gid ?? header.gid);
    for (const [key, value] of header.records ?? []) {
      if (key.startsWith(XATTR)) giveXattr(target, fromBytePath(key.slice(XATTR.length)), Buffer.from(value, 'latin1'));
    }
    const isLink = ((statFile(target)?.mode ?? 0) & S_IFMT) === 0o120000;
    if (!isLink) chmodSync(target, header.mode);
    else if (header.type === TarType.link) return;
    const time = BigInt(header.mtime) * NANOSECONDS + BigInt(header.mtimeNanoseconds ?? 0);
    // Times that ext4 could not hold become 0, as in docker.
    const bounded = time < 0n || time >= 1n << 63n ? 0n : time;
    setTimes(target, bounded, bounded);
    if (header.type === TarType.directory) times.push([path, bounded]);
  }

  function named<T>(name: BytePath, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') throw error;
      const call = 'syscall' in error && typeof error.syscall === 'string' ? error.syscall : 'write';
      throw new SystemError(Math.abs(error.errno), call, fromBytePath(name));
    }
  }

  return {
    entry(header) {
      if (header.type === GLOBAL_HEADER) return;
      const name = cleanPath(`/${header.name}`);
      named(name, () => {
        if (name === '/') {
          if (header.type !== TarType.directory) throw new ArchiveMemberError('the archive replaces its own root');
          // `.` changes nothing; `/` and `..` are cleaned to the root but not skipped.
          if (cleanPath(header.name) !== '.') giveMetadata(header, place);
          return;
        }
        const path = `${directoryOf(name)}/${splitPath(name)[1]}`;
        const existing = statFile(systemPath(path));
        if (existing && !((existing.mode & S_IFMT) === S_IFDIR && header.type === TarType.directory)) {
          rmSync(systemPath(path), { recursive: true, force: true });
          directories.clear();
        }
        write(header, name, path);
      });
    },
    data(chunk) {
      if (open === undefined) return;
      const { file, header } = open;
      named(`/${header.name}`, () => {
        for (let at = 0; at < chunk.length && open; ) {
          const written = writeSync(file, chunk, at, chunk.length - at, open.offset);
          at += written;
          open.offset += written;
        }
      });
    },
    hole(length) {
      if (open !== undefined) open.offset += length;
    },
    end() {
      if (open === undefined) return;
      const { file, path, header } = open;
      named(`/${header.name}`, () => {
        try {
          if (open !== undefined && statFile(systemPath(path))?.size !== header.size) ftruncateSync(file, header.size);
        } finally {
          open = undefined;
          closeSync(file);
        }
        giveMetadata(header, path);
      });
    },
    finish() {
      for (const [path, time] of times) setTimes(systemPath(path), time, time);
    },
    close() {
      if (open !== undefined) closeSync(open.file);
      open = undefined;
    },
  };
}

/** Attributes that the file system does not take, or not from us, are left out. */
function giveXattr(path: string | Buffer, name: string, value: Uint8Array): void {
  try {
    setXattr(path, name, value);
  } catch (error) {
    if (!(error instanceof SystemError) || (error.code !== EPERM && error.code !== EOPNOTSUPP)) throw error;
  }
}
