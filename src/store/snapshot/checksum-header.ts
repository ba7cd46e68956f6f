import type { BytePath } from '../../wire/fsutil/byte-path.ts';
import type { FileNode, Xattrs } from './file-tree.ts';

/**
 * How a tree is known: `scan` by reading it where it is (snapshots), `transfer` by what a client says of its directory.
 * BuildKit's digests differ in device numbers, the mode of links and the header of the root.
 */
export type ChecksumView = 'scan' | 'transfer';

const TYPE_FLAGS = { file: '0', socket: '0', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;

/**
 * What is hashed of a file before its content, without extended attributes (tarsum v1 without name and time, as BuildKit's
 * content checksums have it).
 *
 * @param link The target of a symlink.
 */
export function headerText(node: FileNode, view: ChecksumView, link: BytePath): BytePath {
  const mode = view === 'scan' && node.type === 'symlink' ? 0o777 : node.mode;
  const size = node.type === 'file' ? node.size : 0;
  const isDevice = view === 'transfer' && (node.type === 'char' || node.type === 'block');
  const { major, minor } = isDevice ? node.status : { major: 0, minor: 0 };
  return `namemode${mode}uid${node.uid}gid${node.gid}size${size}typeflag${TYPE_FLAGS[node.type]}linkname${link}unamegnamedevmajor${major}devminor${minor}`;
}

/** What follows the header text: the extended attributes that count, by name, nothing between them. */
export function xattrText(xattrs: Xattrs): BytePath {
  let text = '';
  for (const [name, value] of [...xattrs]
    .map(([key, bytes]) => [Buffer.from(key).toString('latin1'), bytes] as const)
    .sort(byName)) {
    if (!counts(name)) continue;
    text += name + Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
  }
  return text;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** ACLs and security labels belong to the machine, not to the file. */
function counts(name: string): boolean {
  return name === 'security.capability' || !(name.startsWith('security.') || name.startsWith('system.'));
}
