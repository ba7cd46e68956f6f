import { createReadStream, readFileSync } from 'node:fs';
import { splitDevice } from '../../host/system/inode.ts';
import type { FileNode, FileTree } from '../../store/snapshot/file-tree.ts';
import { systemPath } from '../../wire/fsutil/byte-path.ts';
import type { FileAccess } from '../../wire/session/transfer/send-tree.ts';

const FORMATS = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  char: 0o020000,
  block: 0o060000,
  socket: 0o140000,
} as const;

/** Files up to this size are read at once, in bytes. */
const SMALL = 64 * 1024;

/**
 * What the files of a tree are and hold, as they are sent to a client.
 * @param epoch seconds; every time is set to it
 */
export function treeAccess(tree: FileTree, epoch: number | undefined): FileAccess<FileNode> {
  return {
    attributes(node) {
      const { type } = node;
      const isDevice = type === 'char' || type === 'block';
      const { major, minor } = isDevice ? splitDevice(node.rdev) : { major: 0, minor: 0 };
      return {
        mode: FORMATS[type] | node.mode,
        uid: node.uid,
        gid: node.gid,
        size: node.size,
        mtime: epoch === undefined ? node.mtime : BigInt(epoch) * 1_000_000_000n,
        major,
        minor,
        inode: type !== 'dir' && node.nlink > 1 ? node.inode : undefined,
        xattrs: tree.xattrs(node),
      };
    },
    read(node) {
      const location = systemPath(tree.location(node));
      return node.size <= SMALL ? [readFileSync(location)] : (createReadStream(location) as AsyncIterable<Buffer>);
    },
  };
}
