import type { BytePath } from './byte-path.ts';

/** What a file is. */
export type FileType = 'file' | 'dir' | 'symlink' | 'fifo' | 'char' | 'block' | 'socket';

/** A file of a tree. Two entries are the same file if they are the same object. */
export interface TreeEntry {
  /** Its last path component; empty for the root. */
  readonly name: BytePath;
  readonly type: FileType;
}

/** The shape of a tree of files: enough to walk it, to follow its links and to filter it. */
export interface ReadableTree<E extends TreeEntry> {
  readonly root: E;
  /** What lies directly in a directory, by the bytes of the names. */
  children(directory: E): readonly E[];
  /** One of the children; cheaper than all of them. */
  child(directory: E, name: BytePath): E | undefined;
  /** The target of a symlink, as it is stored. */
  readlink(link: E): BytePath;
}

/**
 * The files of a tree without its root, in tree order: parents before children, and siblings by the bytes of their names,
 * which is the order of the paths when `/` sorts before every other byte.
 */
export function* walkTree<E extends TreeEntry>(tree: ReadableTree<E>): Generator<readonly [path: BytePath, entry: E]> {
  const levels: { readonly prefix: BytePath; readonly entries: readonly E[]; next: number }[] = [
    { prefix: '', entries: tree.children(tree.root), next: 0 },
  ];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.entries[level.next++];
    if (entry === undefined) {
      levels.pop();
      continue;
    }
    const path = level.prefix + entry.name;
    yield [path, entry];
    if (entry.type === 'dir') levels.push({ prefix: `${path}/`, entries: tree.children(entry), next: 0 });
  }
}
