import { closeSync, constants, openSync, readSync } from 'node:fs';
import { splitDevice } from '../../host/system/inode.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { type BlobCompression, createBlobWriter, type WrittenBlob } from '../content/blob-writer.ts';
import { encodeTarHeader, roundUp, TAR_END, type TarHeader, TarType } from '../content/tar-header.ts';
import type { TaskContext } from '../content/task.ts';
import type { FileNode, FileTree } from './file-tree.ts';
import { directoryTree } from './file-tree-directory.ts';
import { LayerChangedError } from './layer-tar.ts';

/** A directory to be made into a blob. */
export interface PackTreeInput {
  readonly directory: BytePath;
  /** Where the blob goes; must not exist. */
  readonly output: string;
  readonly compression: BlobCompression;
}

const READ_SIZE = 1 << 18;
const TYPES = {
  file: TarType.file,
  dir: TarType.directory,
  symlink: TarType.symlink,
  char: TarType.char,
  block: TarType.block,
  fifo: TarType.fifo,
} as const;

/**
 * Task: writes what is in a directory as a tar, compressed and hashed on the way: owners, hard links, extended attributes
 * and times to the nanosecond, which tools tell by what is up to date. Sockets are left out, and so are names that begin
 * with `.wh.`, which no layer can hold. Throws `LayerChangedError`, `TarHeaderError`, what the blob writer throws, and errors
 * of `node:fs`.
 */
export async function packTree(
  { directory, output, compression }: PackTreeInput,
  context: TaskContext,
): Promise<WrittenBlob> {
  using writer = createBlobWriter(output, compression);
  for (const piece of pieces(directoryTree(directory))) {
    context.throwIfAborted();
    const wait = writer.write(piece);
    if (wait !== undefined) await wait;
  }
  return await writer.finish();
}

function* pieces(tree: FileTree): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
  const names = new Map<string, BytePath>();
  for (const [path, node] of walkTree(tree)) {
    if (node.type === 'socket' || node.name.startsWith('.wh.')) continue;
    const isNamedTwice = node.type !== 'dir' && node.nlink > 1;
    const first = isNamedTwice ? names.get(node.inode) : undefined;
    if (isNamedTwice && first === undefined) names.set(node.inode, path);
    yield encodeTarHeader(headerOf(tree, node, TYPES[node.type], path, first));
    if (node.type !== 'file' || first !== undefined) continue;
    yield* contentOf(tree, node, path, buffer);
    yield new Uint8Array(roundUp(node.size) - node.size);
  }
  yield TAR_END;
}

function headerOf(
  tree: FileTree,
  node: FileNode,
  type: string,
  path: BytePath,
  linkTo: BytePath | undefined,
): TarHeader {
  const { mode, uid, gid, mtime } = node;
  const attributes = [...tree.xattrs(node)];
  const linkname = linkTo ?? (node.type === 'symlink' ? tree.readlink(node) : undefined);
  const seconds = mtime / 1_000_000_000n;
  const { major, minor } = splitDevice(node.rdev);
  return {
    name: node.type === 'dir' ? `${path}/` : path,
    type: linkTo === undefined ? type : TarType.link,
    mode,
    uid,
    gid,
    size: node.type === 'file' && linkTo === undefined ? node.size : 0,
    mtime: Number(seconds),
    mtimeNanoseconds: Number(mtime - seconds * 1_000_000_000n),
    ...(linkname === undefined ? {} : { linkname }),
    ...(node.type === 'char' || node.type === 'block' ? { devmajor: major, devminor: minor } : {}),
    ...(attributes.length === 0
      ? {}
      : {
          records: new Map(
            attributes.map(([key, value]) => [`SCHILY.xattr.${key}`, Buffer.from(value).toString('latin1')]),
          ),
        }),
  };
}

function* contentOf(tree: FileTree, node: FileNode, path: BytePath, buffer: Buffer): Generator<Uint8Array> {
  const file = openSync(systemPath(tree.location(node)), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = node.size; left > 0; ) {
      const read = readSync(file, buffer, 0, Math.min(READ_SIZE, left), null);
      if (read === 0) throw new LayerChangedError(`${path} became shorter while it was read`);
      left -= read;
      yield buffer.subarray(0, read);
    }
  } finally {
    closeSync(file);
  }
}
