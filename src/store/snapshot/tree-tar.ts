import { splitDevice } from '../../host/system/inode.ts';
import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';
import { encodeTarHeader, type TarHeader, TarType } from '../content/tar-header.ts';
import type { FileNode, FileTree } from './file-tree.ts';

/** One file of a tree in its tar. */
export interface TreeTarMember {
  readonly path: BytePath;
  /** Its header blocks. */
  readonly header: Uint8Array;
  /** The file whose bytes follow, filled up to whole blocks; undefined when none do. */
  readonly content: FileNode | undefined;
}

export interface TreeTarOptions {
  /** Seconds; every time is set to it. */
  readonly epoch?: number | undefined;
  /** Whether times have their nanoseconds; else they are whole seconds. */
  readonly nanoseconds?: boolean;
  /** Whether a file is not to be in the tar. */
  readonly leavesOut?: (path: BytePath) => boolean;
}

const TYPES = {
  file: TarType.file,
  dir: TarType.directory,
  symlink: TarType.symlink,
  char: TarType.char,
  block: TarType.block,
  fifo: TarType.fifo,
} as const;

/**
 * The members of a tree's tar, in the order of a walk: owners kept, further names of a regular file as hard links, extended
 * attributes as `SCHILY.xattr` records, sockets left out. What ends a tar is not among them. Throws `TarHeaderError` and
 * errors of `node:fs`.
 */
export function* treeTarMembers(tree: FileTree, options: TreeTarOptions): Generator<TreeTarMember> {
  const { leavesOut = () => false } = options;
  const firstNames = new Map<string, BytePath>();
  for (const [path, node] of walkTree(tree)) {
    const { type } = node;
    if (type === 'socket' || leavesOut(path)) continue;
    const hasNames = type === 'file' && node.nlink > 1;
    const linkTo = hasNames ? firstNames.get(node.inode) : undefined;
    if (hasNames && linkTo === undefined) firstNames.set(node.inode, path);
    const place =
      linkTo === undefined ? { type: TYPES[type], ...targetOf(tree, node) } : { type: TarType.link, linkname: linkTo };
    const content = type === 'file' && linkTo === undefined && node.size > 0 ? node : undefined;
    const header = encodeTarHeader({
      ...place,
      name: type === 'dir' ? `${path}/` : path,
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      size: content?.size ?? 0,
      ...timeOf(node, options),
      ...attributesOf(tree, node),
    });
    yield { path, header, content };
  }
}

function targetOf(tree: FileTree, node: FileNode): Pick<TarHeader, 'linkname' | 'devmajor' | 'devminor'> {
  if (node.type === 'symlink') return { linkname: tree.readlink(node) };
  if (node.type !== 'char' && node.type !== 'block') return {};
  const { major, minor } = splitDevice(node.rdev);
  return { devmajor: major, devminor: minor };
}

function timeOf({ mtime }: FileNode, { epoch, nanoseconds = false }: TreeTarOptions) {
  if (epoch !== undefined) return { mtime: epoch };
  const seconds = mtime / 1_000_000_000n;
  return {
    mtime: Number(seconds),
    ...(nanoseconds ? { mtimeNanoseconds: Number(mtime - seconds * 1_000_000_000n) } : {}),
  };
}

function attributesOf(tree: FileTree, node: FileNode): Pick<TarHeader, 'records'> {
  const attributes = tree.xattrs(node);
  if (attributes.size === 0) return {};
  return {
    records: new Map(
      [...attributes].map(([key, value]) => [`SCHILY.xattr.${key}`, Buffer.from(value).toString('latin1')]),
    ),
  };
}
