/** Tells a change of content from one of attributes alone. */
import { headerText, xattrText } from '../../store/snapshot/checksum-header.ts';
import { hashFileRecord } from '../../store/snapshot/checksum-task.ts';
import { type FileNode, type FileTree, noXattrs, resolvePath, type Xattrs } from '../../store/snapshot/file-tree.ts';
import { contextTree } from '../../store/snapshot/file-tree-context.ts';
import { toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { FileState } from './cause.ts';
import type { ContentCheck } from './file-changes.ts';

/** Larger files are not read only to say this. */
const LARGEST = 64 << 20;

/**
 * A check against the files of a build context as they lie there now: digests are of attributes and content together, so the
 * file is hashed with the attributes that it had. What has changed since the build cannot be told.
 */
export function contextContentCheck(directory: string): ContentCheck {
  let tree: FileTree | undefined;
  return (path, before, after) => {
    try {
      tree ??= contextTree(directory);
      const { node } = resolvePath(tree, toBytePath(`/${path}`), false);
      if (node?.type !== 'file' || node.size > LARGEST) return undefined;
      const xattrs = tree.xattrs(node);
      if (digestWith(tree, node, after, xattrs) !== after.value) return undefined;
      if (digestWith(tree, node, before, xattrs) === before.value) return 'same';
      return digestWith(tree, node, before, noXattrs) === before.value ? 'extended attributes' : 'differs';
    } catch {
      // Gone, unreadable, or changing: it cannot be told.
      return undefined;
    }
  };
}

/** The digest of a file if it had these attributes. */
function digestWith(tree: FileTree, node: FileNode, { mode, owner }: FileState, xattrs: Xattrs): string {
  const [uid = 0, gid = 0] = owner.split(':').map(Number);
  const { name, type, parent, size, nlink, mtime, rdev, inode, status, origin } = node;
  const other = { name, type, parent, size, nlink, mtime, rdev, inode, status, origin };
  const header = headerText({ ...other, mode: Number.parseInt(mode, 8), uid, gid }, 'transfer', '');
  const text = header + xattrText(xattrs);
  const digest = hashFileRecord(tree.location(node), text, size, { throwIfAborted: () => undefined });
  return `sha256:${digest.toString('hex')}`;
}
