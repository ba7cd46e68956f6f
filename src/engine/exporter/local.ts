import { chmodSync, copyFileSync, lchownSync, linkSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { makeNode, setTimes } from '../../host/system/inode.ts';
import { trySetXattr } from '../../host/system/xattr.ts';
import type { FileNode, FileTree } from '../../store/snapshot/file-tree.ts';
import { statIfThere } from '../../store/snapshot/file-tree-directory.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';

const FORMAT_BITS = { fifo: 0o010000, char: 0o020000, block: 0o060000 } as const;

/** How a tree is written into a directory. */
export interface LocalOptions {
  /** Seconds; every time is set to it. */
  readonly epoch?: number;
  /** Remove what the tree does not have (`mode=delete`). */
  readonly mirror?: boolean;
  /** Called with the number of bytes written so far. */
  readonly advance?: (bytes: number) => void;
}

/**
 * Copies a tree into a directory, made 0700 if it is new, as a client of BuildKit's local exporter does: files belong to
 * the caller, modes, times and hard links are kept, other files of the directory stay.
 * @throws the errors of `node:fs`, and AbortError between two files once `signal` is aborted.
 */
export function exportTree(tree: FileTree, dest: string, options: LocalOptions, signal: AbortSignal): void {
  if (!statIfThere(toBytePath(dest))) mkdirSync(dest, { recursive: true, mode: 0o700 });
  const links = new Map<string, BytePath>();
  let bytes = 0;

  const directory = (node: FileNode, target: BytePath): void => {
    const names = new Set<BytePath>();
    for (const child of tree.children(node)) {
      signal.throwIfAborted();
      names.add(child.name);
      const path = `${target}/${child.name}`;
      const found = statIfThere(path);
      if (found && !(child.type === 'dir' && found.isDirectory())) rmSync(systemPath(path), { recursive: true });
      if (child.type === 'dir') {
        if (!found?.isDirectory()) mkdirSync(systemPath(path));
        directory(child, path);
      } else bytes += writeEntry(tree, child, path, links);
      finish(tree, child, path, options.epoch);
      options.advance?.(bytes);
    }
    if (options.mirror) removeOthers(target, names);
  };
  directory(tree.root, toBytePath(dest));
}

/** Makes what is no directory; returns its bytes. */
function writeEntry(tree: FileTree, node: FileNode, path: BytePath, links: Map<string, BytePath>): number {
  const first = node.nlink > 1 && node.type === 'file' ? links.get(node.inode) : undefined;
  if (first !== undefined) {
    linkSync(systemPath(first), systemPath(path));
    return 0;
  }
  links.set(node.inode, path);
  switch (node.type) {
    case 'file':
      copyFileSync(systemPath(tree.location(node)), systemPath(path));
      return node.size;
    case 'symlink':
      symlinkSync(systemPath(tree.readlink(node)), systemPath(path));
      return 0;
    case 'fifo':
    case 'char':
    case 'block':
      makeNode(systemPath(path), FORMAT_BITS[node.type] | node.mode, node.rdev);
      return 0;
    default:
      return 0;
  }
}

function finish(tree: FileTree, node: FileNode, path: BytePath, epoch: number | undefined): void {
  if (node.type === 'socket') return;
  const target = systemPath(path);
  // Before the owner: BuildKit's client leaves what depends on the owner, such as capabilities, to be taken away with it.
  for (const [name, value] of tree.xattrs(node)) trySetXattr(target, name, value);
  if (process.getuid && process.getgid) lchownSync(target, process.getuid(), process.getgid());
  if (node.type !== 'symlink') chmodSync(target, node.mode);
  const time = epoch === undefined ? node.mtime : BigInt(epoch) * 1_000_000_000n;
  setTimes(target, time, time);
}

function removeOthers(dir: BytePath, names: ReadonlySet<BytePath>): void {
  for (const name of readdirSync(systemPath(dir), 'latin1')) {
    if (!names.has(name)) rmSync(systemPath(`${dir}/${name}`), { recursive: true, force: true });
  }
}
