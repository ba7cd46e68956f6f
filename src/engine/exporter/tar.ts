import { createReadStream } from 'node:fs';
import { splitDevice } from '../../host/system/inode.ts';
import { encodeTarHeader, roundUp, TAR_END, TarType } from '../../store/content/tar-header.ts';
import type { FileNode, FileTree } from '../../store/snapshot/file-tree.ts';
import { type BytePath, systemPath } from '../../wire/fsutil/byte-path.ts';
import { walkTree } from '../../wire/fsutil/tree.ts';

const TYPES = {
  file: TarType.file,
  dir: TarType.directory,
  symlink: TarType.symlink,
  char: TarType.char,
  block: TarType.block,
  fifo: TarType.fifo,
} as const;

/**
 * A tree as a tar: owners kept, hard links as links, extended attributes as `SCHILY.xattr` records, in the order of a walk
 * (exporters facts, 7).
 * @param epoch seconds; every time is set to it
 */
export async function* treeTar(
  tree: FileTree,
  epoch: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const links = new Map<string, BytePath>();
  for (const [path, node] of walkTree(tree)) {
    signal.throwIfAborted();
    if (node.type === 'socket') continue;
    const first = node.type === 'file' && node.nlink > 1 ? links.get(node.inode) : undefined;
    if (first === undefined) links.set(node.inode, path);
    yield encodeTarHeader(headerOf(tree, node, path, first, epoch));
    if (node.type !== 'file' || first !== undefined || node.size === 0) continue;
    for await (const chunk of createReadStream(systemPath(tree.location(node)), { highWaterMark: 1 << 18 }))
      yield chunk;
    yield new Uint8Array(roundUp(node.size) - node.size);
  }
  yield TAR_END;
}

function headerOf(
  tree: FileTree,
  node: FileNode,
  name: BytePath,
  linkTo: BytePath | undefined,
  epoch: number | undefined,
) {
  const records = new Map(
    [...tree.xattrs(node)].map(([key, value]) => [`SCHILY.xattr.${key}`, Buffer.from(value).toString('latin1')]),
  );
  const type = node.type === 'socket' ? TarType.file : TYPES[node.type];
  const linkname = linkTo ?? (node.type === 'symlink' ? tree.readlink(node) : undefined);
  return {
    name: node.type === 'dir' ? `${name}/` : name,
    type: linkTo === undefined ? type : TarType.link,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' && linkTo === undefined ? node.size : 0,
    mtime: epoch ?? Number(node.mtime / 1_000_000_000n),
    ...(linkname === undefined ? {} : { linkname }),
    ...(node.type === 'char' || node.type === 'block' ? deviceOf(node) : {}),
    ...(records.size > 0 ? { records } : {}),
  };
}

function deviceOf(node: FileNode): { devmajor: number; devminor: number } {
  const { major, minor } = splitDevice(node.rdev);
  return { devmajor: major, devminor: minor };
}
