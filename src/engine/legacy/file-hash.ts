/**
 * Checksums of files as the legacy builder takes them (legacy builder facts, 2, "Checksums"): the header of a tar entry, as
 * it is in the context that clients send or as the daemon would write it for a file of an image, and the content.
 */

import { workerPool } from '../../store/content/pool.ts';
import { xattrText } from '../../store/snapshot/checksum-header.ts';
import { type FileRecords, inBatches, readFailure } from '../../store/snapshot/checksum-records.ts';
import { hashRecords } from '../../store/snapshot/checksum-task.ts';
import { type FileNode, type FileTree, noXattrs, pathOf, shownPath } from '../../store/snapshot/file-tree.ts';
import { directoryTree } from '../../store/snapshot/file-tree-directory.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import { type Digest, digestOf, hexOf } from '../../wire/oci/digest.ts';
import type { AccountNames } from './account-names.ts';

const CAPABILITY = 'security.capability';
/** Together these are all but the one attribute that tars of docker carry. */
const OTHER_XATTRS = [
  'user.',
  'trusted.',
  'system.',
  'com.apple.',
  'btrfs.',
  'security.S',
  'security.a',
  'security.e',
  'security.i',
  'security.s',
];
const TYPE_FLAGS = { file: '0', socket: '0', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;

/** A directory as it stands, for what is not the context of a client. */
export function plainTree(path: string): FileTree {
  return directoryTree(path, { hiddenXattrs: OTHER_XATTRS });
}

/** A directory of a client as it is sent: everything belongs to root. */
export function sentTree(path: string): FileTree {
  return directoryTree(path, { owner: { uid: 0, gid: 0 }, hiddenXattrs: OTHER_XATTRS });
}

/** The tree without the attributes that tars of docker do not carry. */
export function withCapabilitiesOnly(tree: FileTree): FileTree {
  return {
    ...tree,
    hiddenXattrs: [...tree.hiddenXattrs, ...OTHER_XATTRS],
    xattrs(node) {
      const all = tree.xattrs(node);
      const capability = all.get(CAPABILITY);
      if (capability === undefined) return noXattrs;
      return all.size === 1 ? all : new Map([[CAPABILITY, capability]]);
    },
  };
}

/**
 * What is hashed of a file before its content and extended attributes.
 * @param names Undefined for files of a context, whose owners are not named.
 */
function headerText(tree: FileTree, node: FileNode, names: AccountNames | undefined): string {
  const path = pathOf(node);
  const { mode, major, minor } = node.status;
  const fields = {
    name: node.type === 'dir' ? `${path}/` : path,
    mode,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' ? node.size : 0,
    typeflag: TYPE_FLAGS[node.type],
    linkname: node.type === 'symlink' ? tree.readlink(node) : '',
    uname: names === undefined ? '' : toBytePath(names.user(node.uid)),
    gname: names === undefined ? '' : toBytePath(names.group(node.gid)),
    devmajor: major,
    devminor: minor,
  };
  return Object.entries(fields)
    .map(([key, value]) => `${key}${value}`)
    .join('');
}

/** The checksums of single files of a tree. What was hashed once is not read again. */
export function legacyRecords(tree: FileTree, names: AccountNames | undefined): FileRecords {
  const digests = new Map<FileNode, Digest>();
  const header = (node: FileNode): string => headerText(tree, node, names);

  async function hashFiles(files: readonly FileNode[], signal: AbortSignal | undefined): Promise<void> {
    const cost = files.reduce((sum, { size }) => sum + 0.04 + size * 1e-6, 0);
    await inBatches(
      files.map(node => ({ node })),
      cost,
      signal,
      async (items, any) => {
        const nodes = items.map(({ node }) => node);
        const batch = {
          paths: nodes.map(node => tree.location(node)),
          headers: nodes.map(header),
          sizes: nodes.map(({ size }) => size),
          hiddenXattrs: tree.hiddenXattrs,
        };
        const context = { throwIfAborted: () => signal?.throwIfAborted() };
        const result =
          any === undefined ? hashRecords(batch, context) : await workerPool().run('hashRecords', batch, any);
        if (result.failure !== undefined) throw readFailure(nodes, result.failure);
        for (const [index, node] of nodes.entries()) {
          const digest = Buffer.from(result.digests.subarray(index * 32, index * 32 + 32)).toString('hex');
          digests.set(node, `sha256:${digest}`);
        }
      },
    );
  }

  return {
    header,
    known: node => digests.get(node),
    get(node) {
      const digest = digests.get(node);
      if (digest === undefined) throw new TypeError(`${shownPath(node)} was not hashed`);
      return digest;
    },
    async ensure(nodes, signal) {
      const files: FileNode[] = [];
      for (const node of nodes) {
        if (digests.has(node)) continue;
        if (node.type === 'file') files.push(node);
        else digests.set(node, digestOf(Buffer.from(header(node) + xattrText(tree.xattrs(node)), 'latin1')));
      }
      await hashFiles(files, signal);
    },
  };
}

/** One hash of several: of their texts, joined. */
export function joinedHash(prefix: 'dir' | 'multi', hashes: readonly string[]): string {
  return `${prefix}:${hexOf(digestOf(hashes.join(',')))}`;
}
