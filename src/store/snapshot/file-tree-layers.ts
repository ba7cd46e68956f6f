import { type FileStatus, statFile } from '../../host/system/stat.ts';
import { getXattr } from '../../host/system/xattr.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import type { FileNode, FileTree } from './file-tree.ts';
import { frozenTree, NoDirectoryError, namesIn, nodeOf } from './file-tree-node.ts';
import { isWhiteout } from './overlay-stack.ts';

export interface LayersTreeOptions {
  /** What overlay's own attributes begin with: `user.overlay.` where the engine runs unprivileged. */
  readonly overlayXattrs?: 'trusted.overlay.' | 'user.overlay.';
}

/** A directory of one layer. `origin` counts layers from the top. */
interface Part {
  readonly path: BytePath;
  readonly origin: number;
}

/** A name as the layers looked at so far have it. */
interface Merged {
  node: FileNode | undefined;
  /** Where it is a directory. */
  readonly parts: Part[];
  /** Whether further layers below do not count: it is no directory, removed, or opaque. */
  isClosed: boolean;
}

/**
 * Layers as the one tree that overlay would show of them, without mounting anything (Linux,
 * Documentation/filesystems/overlayfs.rst: whiteouts are character devices 0/0, opaque directories hide what is below).
 *
 * @param layers Their directories, bottom first; at least one.
 *
 * Throws NoDirectoryError, and SystemError or the errors of `node:fs` if something cannot be read.
 */
export function layersTree(layers: readonly string[], options: LayersTreeOptions = {}): FileTree {
  const { overlayXattrs = 'trusted.overlay.' } = options;
  const openedAt = Date.now();
  const top = layers.map(toBytePath).reverse();
  const merged = merge(
    top.map((path, origin) => ({ path, origin })),
    '',
    undefined,
  );
  const root = merged.node;
  if (root?.type !== 'dir') throw new NoDirectoryError(layers.at(-1) ?? '');
  const directories = new Map<FileNode, readonly Part[]>([[root, merged.parts]]);

  function partsOf(directory: FileNode): readonly Part[] {
    return directories.get(directory) ?? [];
  }

  function location(node: FileNode): BytePath {
    if (node.parent === undefined) return top[0] ?? '';
    const part = partsOf(node.parent).find(({ origin }) => origin === node.origin);
    return `${part?.path}/${node.name}`;
  }

  /** The tree's entry for what layers have at one place, those of `parts` from the top. */
  function merge(parts: readonly Part[], name: BytePath, parent: FileNode | undefined): Merged {
    const state: Merged = { node: undefined, parts: [], isClosed: false };
    for (const [index, part] of parts.entries()) {
      add(state, part, statFile(systemPath(part.path)), name, parent, index === parts.length - 1);
      if (state.isClosed) break;
    }
    return state;
  }

  function add(
    state: Merged,
    part: Part,
    status: FileStatus | undefined,
    name: BytePath,
    parent: FileNode | undefined,
    isLast: boolean,
  ): void {
    if (status === undefined) return;
    if (isWhiteout(status)) {
      state.isClosed = true;
      return;
    }
    const node = nodeOf(name, parent, status, part.origin, undefined);
    if (node.type !== 'dir') {
      state.isClosed = true;
      state.node ??= node;
      return;
    }
    state.node ??= node;
    state.parts.push(part);
    state.isClosed = isLast || isOpaque(part.path);
  }

  function isOpaque(path: BytePath): boolean {
    return getXattr(systemPath(path), `${overlayXattrs}opaque`)?.toString('latin1') === 'y';
  }

  function take(state: Merged): FileNode | undefined {
    if (state.node?.type === 'dir') directories.set(state.node, state.parts);
    return state.node;
  }

  function list(parent: FileNode, known: (name: BytePath) => FileNode | undefined): FileNode[] {
    const parts = partsOf(parent);
    const names = new Map<BytePath, Merged>();
    for (const [index, part] of parts.entries()) {
      for (const name of namesIn(part.path)) {
        const state = names.get(name) ?? { node: undefined, parts: [], isClosed: false };
        if (state.isClosed) continue;
        names.set(name, state);
        const own = { path: `${part.path}/${name}`, origin: part.origin };
        add(state, own, statFile(systemPath(own.path)), name, parent, index === parts.length - 1);
      }
    }
    const sorted = parts.length === 1 ? [...names] : [...names].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.flatMap(([name, state]) => known(name) ?? take(state) ?? []);
  }

  function find(parent: FileNode, name: BytePath): FileNode | undefined {
    const parts = partsOf(parent).map(({ path, origin }) => ({ path: `${path}/${name}`, origin }));
    return take(merge(parts, name, parent));
  }

  return frozenTree({ root, openedAt, hiddenXattrs: [overlayXattrs], location, list, find });
}
