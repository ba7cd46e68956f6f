import { open } from 'node:fs/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { splitDevice } from '../../../host/system/inode.ts';
import { type FileNode, type FileTree, resolvePath } from '../../../store/snapshot/file-tree.ts';
import { fromBytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { createPathFilter } from '../../../wire/fsutil/path-filter.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { StatusError } from '../../../wire/grpc/status.ts';
import type { StatSchema } from '../../../wire/proto/gen/fsutil/stat_pb.ts';
import { toGoMode } from '../../../wire/session/transfer/file-stat.ts';

type Stat = MessageInitShape<typeof StatSchema>;

/** A part of a file, in bytes. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/** What a message can hold beside other things. */
const LARGEST = 16 * 1024 * 1024 - 1024;

/**
 * The bytes of a file, or a part of them. Links are followed inside the tree.
 * @throws StatusError when there is none, or it is no regular file
 */
export async function readTreeFile(
  tree: FileTree,
  path: string,
  range: FileRange | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const node = find(tree, path, 'open');
  if (node.type !== 'file') throw new StatusError(Code.unknown, `${path} is not a regular file`);
  const offset = range?.offset ?? 0;
  const length = Math.max(0, Math.min(range?.length ?? node.size, node.size - offset));
  if (length > LARGEST)
    throw new StatusError(Code.resourceExhausted, `${path} is too large for one message: read it in ranges`);
  await using file = await open(systemPath(tree.location(node)), 'r');
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/**
 * What lies directly in a directory, by name.
 * @param include a pattern for names; empty for all
 * @throws StatusError when there is none
 */
export function readTreeDirectory(tree: FileTree, path: string, include: string): Stat[] {
  const node = find(tree, path, 'open');
  if (node.type !== 'dir') throw new StatusError(Code.unknown, `readdir ${path}: not a directory`);
  const children = tree.children(node);
  const chosen = include === '' ? children : filterNames(children, include);
  return chosen.map(child => statOf(tree, child, fromBytePath(child.name)));
}

/** What is known of a file; links are followed, the last too. @throws StatusError when there is none */
export function statTreeFile(tree: FileTree, path: string): Stat {
  const node = find(tree, path, 'lstat');
  return statOf(tree, node, node.parent === undefined ? '.' : fromBytePath(node.name));
}

function find(tree: FileTree, path: string, call: string): FileNode {
  const { node } = resolvePath(tree, toBytePath(path), true);
  if (node === undefined) throw new StatusError(Code.unknown, `${call} ${path}: no such file or directory`);
  return node;
}

function filterNames(children: readonly FileNode[], include: string): FileNode[] {
  const filter = createPathFilter({ include: [include] });
  return children.filter(({ name, type }) =>
    type === 'dir' ? filter.directory(fromBytePath(name)).keep : filter.keepsFile(fromBytePath(name)),
  );
}

function statOf(tree: FileTree, node: FileNode, path: string): Stat {
  const isDevice = node.type === 'char' || node.type === 'block';
  const { major, minor } = isDevice ? splitDevice(node.rdev) : { major: 0, minor: 0 };
  return {
    path,
    mode: node.type === 'socket' ? toGoMode(node.mode) : toGoMode(node.mode | FORMATS[node.type]),
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'dir' ? 0n : BigInt(node.size),
    modTime: node.mtime,
    linkname: node.type === 'symlink' ? fromBytePath(tree.readlink(node)) : '',
    devmajor: BigInt(major),
    devminor: BigInt(minor),
    xattrs: Object.fromEntries([...tree.xattrs(node)].map(([name, value]) => [name, Uint8Array.from(value)])),
  };
}

const FORMATS = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  char: 0o020000,
  block: 0o060000,
} as const;
