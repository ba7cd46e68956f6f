/** Copies one file or directory of a tree onto a directory of the disk that may have files already. */
import { chmodSync, lchownSync, linkSync, mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { makeNode, setTimes } from '../../../host/system/inode.ts';
import { statFile } from '../../../host/system/stat.ts';
import { setXattr } from '../../../host/system/xattr.ts';
import { breather } from '../../../store/snapshot/breather.ts';
import type { FileNode, Xattrs } from '../../../store/snapshot/file-tree.ts';
import { type CopySource, copyFiles, type FileCopy } from '../../../store/snapshot/file-tree-copy.ts';
import { type BytePath, fromBytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { createPathFilter, type FilteredDirectory, type PathFilter } from '../../../wire/fsutil/path-filter.ts';
import type { ModeChange } from './mode-change.ts';
import type { Owner } from './owner.ts';

/** How copies differ from their originals. */
export interface CopyTreeOptions {
  /** What is copied, by the path below the copied directory. */
  readonly filter: PathFilter;
  readonly owner?: Owner | undefined;
  /** The 12 permission bits of everything but links. */
  readonly mode?: number | undefined;
  readonly modeChange?: ModeChange | undefined;
  /** Nanoseconds since the epoch. */
  readonly timestamp?: bigint | undefined;
  /** What is in the way is removed, whatever it is; else a type that does not fit is an error. */
  readonly replace: boolean;
  /** Extended attributes that get lost. */
  readonly lostXattrs: readonly string[];
  /** The root directory that `target` is in; left out of error messages. */
  readonly root: BytePath;
}

/** A copy that what is already there does not allow. */
class CopyConflictError extends Error {
  override readonly name = 'CopyConflictError';
}

const [S_IFIFO, S_IFCHR, S_IFDIR, S_IFMT] = [0o010000, 0o020000, 0o040000, 0o170000];

/** A directory on the way down. */
interface Level {
  readonly node: FileNode;
  readonly target: BytePath;
  readonly decision: FilteredDirectory | undefined;
  readonly above: Level | undefined;
  /** Whether the copy has been made, or found. Directories that are not kept themselves are made when they are needed. */
  ready: boolean;
  /** Whether nothing was there before, so that nothing can be in the way. */
  fresh: boolean;
}

/**
 * Copies all that is in a directory of a tree into one of the disk. Throws what {@link copyTree} throws.
 *
 * @param lostXattrs - extended attributes that get lost
 */
export async function copyDirectory(
  source: CopySource,
  directory: FileNode,
  into: string,
  lostXattrs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const root = toBytePath(into);
  await copyTree(source, directory, root, { filter: createPathFilter({}), replace: false, lostXattrs, root }, signal);
}

/**
 * Copies `top` to `target`, whose parent is there. A file or link takes the place of what is there; a directory is merged
 * into one. The directory at the top keeps its owner and mode if it was there and takes the time of the original; those below
 * take all of it. Several names of one file stay that.
 *
 * Throws {@link CopyConflictError}, and errors of the disk with paths of the machine.
 */
export async function copyTree(
  source: CopySource,
  top: FileNode,
  target: BytePath,
  options: CopyTreeOptions,
  signal: AbortSignal,
): Promise<void> {
  const { tree } = source;
  const { filter, root, lostXattrs } = options;
  const files: FileCopy[] = [];
  const links: (readonly [from: BytePath, to: BytePath])[] = [];
  const names = new Map<string, BytePath>();
  const finish: (() => void)[] = [];
  const breathe = breather();

  function shown(path: BytePath): string {
    return fromBytePath(path.slice(root.length)) || '/';
  }

  /** Makes a directory like `node`, or finds one; says whether it was made. */
  function makeDirectory(node: FileNode, at: BytePath, fresh: boolean, overwrite: boolean): boolean {
    const existing = fresh ? undefined : statFile(systemPath(at));
    if (existing === undefined) {
      mkdirSync(systemPath(at), 0o700);
      return true;
    }
    if ((existing.mode & S_IFMT) !== S_IFDIR) throw new CopyConflictError(`cannot copy to non-directory: ${shown(at)}`);
    if (overwrite) chmodSync(systemPath(at), node.mode);
    return false;
  }

  /** Makes the directories on the way down that were put off until something in them is kept. */
  function ensureLevels(level: Level | undefined): void {
    if (level === undefined || level.ready) return;
    ensureLevels(level.above);
    level.fresh = makeDirectory(level.node, level.target, level.above?.fresh ?? false, true);
    if (level.fresh) giveMetadata(level.node, level.target);
    level.ready = true;
  }

  function modeOf(node: FileNode): number {
    return options.modeChange?.(node.mode, node.type === 'dir') ?? options.mode ?? node.mode;
  }

  function giveMetadata(node: FileNode, at: BytePath): void {
    const path = systemPath(at);
    const { uid, gid } = options.owner ?? node;
    lchownSync(path, uid, gid);
    if (node.type !== 'symlink') chmodSync(path, modeOf(node));
    giveTime(node, at);
    // Whether the file system of the layers takes an attribute is not the step's fault.
    for (const [name, value] of xattrsOf(node)) attempt(() => setXattr(path, name, value));
  }

  function xattrsOf(node: FileNode): Xattrs {
    const all = tree.xattrs(node);
    if (!lostXattrs.some(name => all.has(name))) return all;
    return new Map([...all].filter(([name]) => !lostXattrs.includes(name)));
  }

  function giveTime(node: FileNode, at: BytePath): void {
    const time = options.timestamp ?? node.mtime;
    setTimes(systemPath(at), time, time);
  }

  async function copyDirectory(
    node: FileNode,
    at: BytePath,
    path: string,
    level: Level,
    isTop: boolean,
  ): Promise<void> {
    if (level.decision?.keep !== false) {
      if (!isTop) ensureLevels(level.above);
      level.fresh = makeDirectory(node, at, level.above?.fresh ?? false, !isTop);
      level.ready = true;
      const made = level.fresh;
      finish.push(() => (made || !isTop ? giveMetadata(node, at) : giveTime(node, at)));
    }
    if (level.decision?.enter === false) return;
    const wait = breathe(signal);
    if (wait !== undefined) await wait;
    const prefix = path === '' ? '' : `${path}/`;
    for (const child of tree.children(node)) {
      await copyNode(child, `${at}/${child.name}`, prefix + fromBytePath(child.name), level);
    }
  }

  function copyNode(node: FileNode, at: BytePath, path: string, above: Level | undefined): Promise<void> | undefined {
    const isTop = above === undefined;
    if (node.type === 'dir') {
      const decision = isTop ? undefined : filter.directory(path, above.decision);
      if (decision?.keep !== false) clear(node, at, above);
      const level = { node, target: at, decision, above, ready: false, fresh: false };
      return decision?.keep === false && !decision.enter ? undefined : copyDirectory(node, at, path, level, isTop);
    }
    if (!isTop && !filter.keepsFile(path, above.decision)) return undefined;
    clear(node, at, above);
    ensureLevels(above);
    if (above?.fresh !== true) makeRoom(at);
    copyFile(node, at);
    return undefined;
  }

  function clear(node: FileNode, at: BytePath, above: Level | undefined): void {
    if (!options.replace || above?.fresh === true) return;
    const existing = statFile(systemPath(at));
    if (existing === undefined || (node.type === 'dir' && (existing.mode & S_IFMT) === S_IFDIR)) return;
    rmSync(systemPath(at), { recursive: true, force: true });
  }

  function makeRoom(at: BytePath): void {
    const existing = statFile(systemPath(at));
    if (existing === undefined) return;
    if ((existing.mode & S_IFMT) === S_IFDIR)
      throw new CopyConflictError(`cannot replace to directory ${shown(at)} with file`);
    unlinkSync(systemPath(at));
  }

  function copyFile(node: FileNode, at: BytePath): void {
    switch (node.type) {
      case 'file': {
        const first = node.nlink > 1 ? names.get(node.inode) : undefined;
        if (first !== undefined) links.push([first, at]);
        else {
          if (node.nlink > 1) names.set(node.inode, at);
          const [mode, mtime, xattrs] = [modeOf(node), options.timestamp ?? node.mtime, xattrsOf(node)];
          files.push({ node, to: at, mode, ...options.owner, mtime, xattrs });
        }
        return;
      }
      case 'symlink':
        symlinkSync(systemPath(tree.readlink(node)), systemPath(at));
        break;
      case 'socket':
        writeFileSync(systemPath(at), '', { flag: 'wx' });
        break;
      default:
        // A block device becomes a character device with its numbers, as in BuildKit, where a mask takes the bit away.
        makeNode(systemPath(at), (node.type === 'fifo' ? S_IFIFO : S_IFCHR) | 0o600, node.rdev);
    }
    giveMetadata(node, at);
  }

  await copyNode(top, target, '', undefined);
  await copyFiles(source, files, {}, signal);
  for (const [from, to] of links) linkSync(systemPath(from), systemPath(to));
  for (const last of finish.reverse()) last();
}

function attempt(run: () => void): void {
  try {
    run();
  } catch {
    // See the caller.
  }
}
