import type { FileNode, FileTree } from '../../store/snapshot/file-tree.ts';
import { type BytePath, fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { ExporterAttributeError } from './attributes.ts';

/** One of the trees that become one. */
export interface TreePart {
  /** What errors call it: the platform that it is for. */
  readonly name: string;
  /** The directory that it goes into; empty for the root itself. */
  readonly directory: string;
  readonly tree: FileTree;
}

interface Origin {
  readonly part: TreePart;
  readonly node: FileNode;
}

/**
 * Trees as one: directories of the same name are united, attributes are those of the first. Looking at a directory throws
 * `ExporterAttributeError` when a file of one tree would take the place of another's.
 */
export function mergeTrees(parts: readonly TreePart[]): FileTree {
  const [first] = parts;
  if (first === undefined) throw new TypeError('no trees to merge');
  if (parts.length === 1 && first.directory === '') return first.tree;
  const origins = new WeakMap<FileNode, readonly Origin[]>();
  const listings = new WeakMap<FileNode, readonly FileNode[]>();
  const atRoot = parts.filter(({ directory }) => directory === '');
  const root = directoryNode('', undefined, atRoot[0]?.tree.root);
  origins.set(
    root,
    atRoot.map(part => ({ part, node: part.tree.root })),
  );

  function originOf(node: FileNode): Origin {
    const [origin] = origins.get(node) ?? [];
    if (origin === undefined) throw new TypeError('a directory that no tree has');
    return origin;
  }

  function unite(name: BytePath, parent: FileNode, found: readonly Origin[]): FileNode {
    const [one, other] = found;
    if (one === undefined) throw new TypeError('a file of no tree');
    const conflict = found.find(({ node }) => node.type !== 'dir');
    if (other !== undefined && conflict !== undefined) {
      const path = fromBytePath(pathBelow(parent, name));
      throw new ExporterAttributeError(
        `cannot overwrite ${path} from ${one.part.name} with ${other.part.name} when split option is disabled`,
      );
    }
    const node = other === undefined && parent !== root ? ownNode(one) : nodeFor(name, parent, found);
    origins.set(node, found);
    return node;
  }

  function nodeFor(name: BytePath, parent: FileNode, [one, other]: readonly Origin[]): FileNode {
    if (one !== undefined && other === undefined && one.node.name === name) return one.node;
    return directoryNode(name, parent, one?.part.directory === '' ? one.node : undefined);
  }

  function list(directory: FileNode): FileNode[] {
    const byName = new Map<BytePath, Origin[]>();
    const add = (name: BytePath, origin: Origin) => byName.set(name, [...(byName.get(name) ?? []), origin]);
    for (const { part, node } of origins.get(directory) ?? [])
      for (const child of part.tree.children(node)) add(child.name, { part, node: child });
    if (directory === root) {
      for (const part of parts)
        if (part.directory !== '') add(toBytePath(part.directory), { part, node: part.tree.root });
    }
    return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, found]) => unite(name, directory, found));
  }

  const children = (directory: FileNode): readonly FileNode[] => {
    const known = listings.get(directory) ?? list(directory);
    listings.set(directory, known);
    return known;
  };
  return {
    root,
    openedAt: Math.min(...parts.map(({ tree }) => tree.openedAt)),
    hiddenXattrs: first.tree.hiddenXattrs,
    children,
    child: (directory, name) => children(directory).find(node => node.name === name),
    location(node) {
      const { part, node: own } = originOf(node);
      return part.tree.location(own);
    },
    readlink(node) {
      const { part, node: own } = originOf(node);
      return part.tree.readlink(own);
    },
    xattrs(node) {
      const [origin] = origins.get(node) ?? [];
      return origin === undefined || node === root ? new Map() : origin.part.tree.xattrs(origin.node);
    },
    noteNoXattrs: () => undefined,
  };
}

/** Trees in directories of their own may share layers, but a directory has to be whole without the others. */
function ownNode({ part, node }: Origin): FileNode {
  if (part.directory === '' || node.type === 'dir' || node.nlink < 2) return node;
  const { name, type, parent, mode, uid, gid, size, nlink, mtime, rdev, status, origin } = node;
  const inode = `${part.directory}/${node.inode}`;
  return { name, type, parent, mode, uid, gid, size, nlink, mtime, rdev, inode, status, origin };
}

function pathBelow(parent: FileNode, name: BytePath): BytePath {
  return parent.parent === undefined ? name : `${pathBelow(parent.parent, parent.name)}/${name}`;
}

/** A directory that stands for several, with the attributes of one, or for one that no tree has. */
function directoryNode(name: BytePath, parent: FileNode | undefined, like: FileNode | undefined): FileNode {
  return {
    name,
    type: 'dir',
    parent,
    mode: like?.mode ?? 0o755,
    uid: like?.uid ?? 0,
    gid: like?.gid ?? 0,
    size: 0,
    nlink: 2,
    mtime: like?.mtime ?? 0n,
    rdev: 0n,
    inode: `merged ${name}`,
    status: like?.status ?? NO_STATUS,
    origin: 0,
  };
}

const NO_STATUS: FileNode['status'] = {
  mode: 0o040755,
  uid: 0,
  gid: 0,
  size: 0,
  nlink: 2,
  inoHigh: 0,
  inoLow: 0,
  device: 0,
  major: 0,
  minor: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  ctimeSeconds: 0,
  ctimeNanoseconds: 0,
};
