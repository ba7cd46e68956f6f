import { createReadStream, readFileSync } from 'node:fs';
import { splitDevice } from '../../host/system/inode.ts';
import type { FileNode, FileTree } from '../../store/snapshot/file-tree.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { ReadableTree, TreeEntry } from '../../wire/fsutil/tree.ts';
import type { FileAccess } from '../../wire/session/transfer/send-tree.ts';

/** A file of one of several trees, or a directory that one of them is put into. */
interface SentEntry extends TreeEntry {
  readonly of: { readonly tree: FileTree; readonly node: FileNode } | undefined;
}

/** Trees of results as they are sent to a client. */
export interface SentTrees {
  readonly tree: ReadableTree<SentEntry>;
  readonly access: FileAccess<SentEntry>;
}

const FORMATS = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  char: 0o020000,
  block: 0o060000,
  socket: 0o140000,
} as const;

/** Files up to this size are read at once. */
const SMALL = 64 * 1024;

/**
 * Trees as one, each in a directory, or an only one without.
 * @param epoch seconds; every time is set to it
 */
export function sentTrees(
  trees: readonly { readonly directory: string; readonly tree: FileTree }[],
  epoch: number | undefined,
): SentTrees {
  const entries = new WeakMap<FileNode, SentEntry>();
  const entryOf = (tree: FileTree, node: FileNode): SentEntry => {
    const known = entries.get(node) ?? { name: node.name, type: node.type, of: { tree, node } };
    entries.set(node, known);
    return known;
  };
  const [only] = trees;
  const isPlain = trees.length === 1 && only?.directory === '';
  const root: SentEntry = {
    name: '',
    type: 'dir',
    of: isPlain && only ? { tree: only.tree, node: only.tree.root } : undefined,
  };
  const tops = trees.map(
    ({ directory, tree }): SentEntry => ({
      name: toBytePath(directory),
      type: 'dir',
      of: { tree, node: tree.root },
    }),
  );
  tops.sort((a, b) => (a.name < b.name ? -1 : 1));
  const children = ({ of }: SentEntry): readonly SentEntry[] =>
    of === undefined ? tops : of.tree.children(of.node).map(node => entryOf(of.tree, node));
  const time = (mtime: bigint): bigint => (epoch === undefined ? mtime : BigInt(epoch) * 1_000_000_000n);
  return {
    tree: {
      root,
      children,
      child: (directory, name) => children(directory).find(entry => entry.name === name),
      readlink: ({ of }): BytePath => (of === undefined ? '' : of.tree.readlink(of.node)),
    },
    access: {
      attributes({ of, type }) {
        if (of === undefined) throw new TypeError('the root of several trees is not sent');
        const { tree, node } = of;
        const isDevice = type === 'char' || type === 'block';
        const { major, minor } = isDevice ? splitDevice(node.rdev) : { major: 0, minor: 0 };
        return {
          mode: FORMATS[type] | node.mode,
          uid: node.uid,
          gid: node.gid,
          size: node.size,
          mtime: time(node.mtime),
          major,
          minor,
          inode: type !== 'dir' && node.nlink > 1 ? node.inode : undefined,
          xattrs: tree.xattrs(node),
        };
      },
      read({ of }) {
        if (of === undefined) return [];
        const location = systemPath(of.tree.location(of.node));
        return of.node.size <= SMALL ? [readFileSync(location)] : (createReadStream(location) as AsyncIterable<Buffer>);
      },
    },
  };
}
