import { closeSync, openSync, readSync } from 'node:fs';
import type { FileStatus } from '../../host/system/stat.ts';
import { getXattr } from '../../host/system/xattr.ts';
import { type BytePath, fromBytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { encodeTarHeader, roundUp, TAR_BLOCK, TAR_END, TarType } from '../content/tar-header.ts';
import { CAPABILITY, type ChangedDirectory, type LayerChange, linkTarget } from './layer-changes.ts';
import { FileKind, isDirectory, kindOf } from './overlay-stack.ts';

/** A file of a layer was written to while its tar was made. */
export class LayerChangedError extends Error {
  override readonly name = 'LayerChangedError';
}

const TYPES = new Map<number, string>([
  [FileKind.file, TarType.file],
  [FileKind.symlink, TarType.symlink],
  [FileKind.char, TarType.char],
  [FileKind.block, TarType.block],
  [FileKind.directory, TarType.directory],
  [FileKind.fifo, TarType.fifo],
]);

const READ_SIZE = 1 << 18;
const PADDING = new Uint8Array(TAR_BLOCK);

/**
 * The tar of a layer's changes, byte for byte as BuildKit writes it (layers facts, section 1): parents before what is in
 * them, deletions as `.wh.` files of 1970, further names of a file as hard links, sockets left out. A piece is only valid
 * until the next one is asked for.
 *
 * @param epoch Later times become this one, in seconds since 1970 (`rewrite-timestamp`); whiteouts keep theirs.
 *
 * Throws `LayerChangedError`, `TarHeaderError`, `SystemError` and errors of `node:fs`.
 */
export function* layerTar(changes: Iterable<LayerChange>, epoch?: number): Generator<Uint8Array> {
  const written = new Set<BytePath>();
  /** The tar's name of each file that has several. */
  const firstNames = new Map<string, BytePath>();
  /** Names of unchanged files whose other names may yet turn out new. */
  const waiting = new Map<string, ChangedDirectory[]>();
  let buffer: Buffer | undefined;

  function* parents(parent: ChangedDirectory | undefined): Generator<Uint8Array> {
    if (parent === undefined || written.has(parent.path)) return;
    yield* parents(parent.parent);
    written.add(parent.path);
    yield header(parent, undefined);
  }

  function header(file: ChangedDirectory, linkTo: BytePath | undefined): Uint8Array {
    const { status, path, source } = file;
    const kind = kindOf(status);
    const type = linkTo === undefined ? (TYPES.get(kind) ?? TarType.file) : TarType.link;
    const capability = kind === FileKind.symlink ? undefined : getXattr(systemPath(source), CAPABILITY);
    const isDevice = kind === FileKind.char || kind === FileKind.block;
    const linkname = linkTo ?? (kind === FileKind.symlink ? linkTarget(source) : undefined);
    const { mtimeSeconds } = status;
    return encodeTarHeader({
      name: kind === FileKind.directory ? `${path}/` : path,
      type,
      mode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
      size: type === TarType.file ? status.size : 0,
      mtime: epoch !== undefined && mtimeSeconds > epoch ? epoch : mtimeSeconds,
      ...(linkname === undefined ? {} : { linkname }),
      ...(isDevice ? { devmajor: status.major, devminor: status.minor } : {}),
      ...(capability === undefined || capability.length === 0
        ? {}
        : { records: new Map([[`SCHILY.xattr.${CAPABILITY}`, capability.toString('latin1')]]) }),
    });
  }

  function* content(file: ChangedDirectory): Generator<Uint8Array> {
    buffer ??= Buffer.allocUnsafeSlow(READ_SIZE);
    const { size } = file.status;
    let left = size;
    const open = openSync(systemPath(file.source), 'r');
    try {
      for (let isAtEnd = false; !isAtEnd; ) {
        // One byte more than there should be, to see a file that grows.
        const wanted = Math.min(READ_SIZE, left + 1);
        const read = readSync(open, buffer, 0, wanted, null);
        isAtEnd = read < wanted;
        left -= read;
        if (left < 0 || (isAtEnd && left > 0)) {
          throw new LayerChangedError(`${fromBytePath(file.path)} changed while its layer was being written`);
        }
        if (read > 0) yield buffer.subarray(0, read);
      }
    } finally {
      closeSync(open);
    }
    if (roundUp(size) > size) yield PADDING.subarray(0, roundUp(size) - size);
  }

  for (const change of changes) {
    if (change.kind === 'delete') {
      yield* parents(change.parent);
      yield whiteout(change.path);
      continue;
    }
    const { status, path } = change;
    const kind = kindOf(status);
    if (kind === FileKind.socket) continue;
    const inode = kind !== FileKind.directory && status.nlink > 1 ? inodeOf(status) : undefined;
    let linkTo: BytePath | undefined;
    let links: readonly ChangedDirectory[] = [];
    if (inode !== undefined) {
      linkTo = firstNames.get(inode);
      if (linkTo === undefined) {
        if (change.kind === 'unmodified') {
          const names = waiting.get(inode);
          if (names === undefined) waiting.set(inode, [change]);
          else names.push(change);
          continue;
        }
        firstNames.set(inode, path);
        links = waiting.get(inode) ?? [];
        waiting.delete(inode);
      }
    } else if (change.kind === 'unmodified') {
      continue;
    }
    yield* parents(change.parent);
    if (isDirectory(status)) written.add(path);
    yield header(change, linkTo);
    if (kind === FileKind.file && linkTo === undefined && status.size > 0) yield* content(change);
    for (const link of links) {
      yield* parents(link.parent);
      yield header({ ...change, path: link.path }, path);
    }
  }
  yield TAR_END;
}

function inodeOf(status: FileStatus): string {
  return `${status.device}:${status.inoHigh}:${status.inoLow}`;
}

function whiteout(path: BytePath): Uint8Array {
  const slash = path.lastIndexOf('/') + 1;
  const name = `${path.slice(0, slash)}.wh.${path.slice(slash)}`;
  return encodeTarHeader({ name, type: TarType.file, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0 });
}
