/** The copy action: COPY and ADD. */
import { posix } from 'node:path';
import { setTimes } from '../../../host/system/inode.ts';
import { statFile } from '../../../host/system/stat.ts';
import { type FileNode, resolvePath } from '../../../store/snapshot/file-tree.ts';
import type { CopySource } from '../../../store/snapshot/file-tree-copy.ts';
import { type BytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { explained } from '../../../wire/fsutil/filter-tree.ts';
import { createPathFilter } from '../../../wire/fsutil/path-filter.ts';
import type { FileActionCopy } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { type CopyTreeOptions, copyTree } from './copy-tree.ts';
import { makeDirectories } from './make-directories.ts';
import { parseModeChange } from './mode-change.ts';
import type { Owner } from './owner.ts';
import { ENOENT, pathError } from './path-error.ts';
import { isDirectory, rootPath, splitPath } from './root-path.ts';
import { unpackArchive } from './unpack.ts';
import { resolveWildcards } from './wildcards.ts';

/** Nothing matches a source with wildcards that must match something. */
class NoMatchError extends Error {
  override readonly name = 'NoMatchError';
}

/** A copy action with what it works on. */
export interface CopyRequest {
  readonly action: FileActionCopy;
  readonly source: CopySource;
  /** Extended attributes that the source does not hand on. */
  readonly lostXattrs: readonly string[];
  /** Absolute path of the root directory that is copied into. */
  readonly root: BytePath;
  readonly owner: Owner | undefined;
}

const DIRECTORY_MODE = 0o755;

/**
 * Copies files as the action says. Throws `SystemError`, `CopyConflictError`, `NoMatchError`, `ModeSyntaxError`,
 * `PatternSyntaxError`, and what the source throws for files that changed.
 */
export async function copyAction(request: CopyRequest, signal: AbortSignal): Promise<void> {
  const { action, source, root } = request;
  const destination = slashedPath(action.dest);
  if (!action.createDestPath) {
    const [parent] = splitPath(rootPath(root, toBytePath(action.dest)));
    if (!statFile(systemPath(parent))) {
      const cause = pathError('lstat', posix.dirname(posix.join('/', action.dest)), ENOENT);
      throw new Error(`failed to stat ${action.dest}: ${cause.message}`, { cause });
    }
  }
  const path = slashedPath(action.src);
  const paths = action.allowWildcard ? resolveWildcards(source.tree, path, action.followSymlink) : [path];
  if (paths.length === 0 && !action.allowEmptyWildcard) throw new NoMatchError(`${path} not found`);
  const timestamp = timestampOf(action.timestamp);
  for (const from of paths) {
    if (action.attemptUnpackDockerCompatibility) {
      const { node } = resolvePath(source.tree, toBytePath(from), true);
      if (node?.type === 'file' && (await unpackArchive({ ...request, node, destination, timestamp }, signal)))
        continue;
    }
    await copyOne(request, from, destination, timestamp, signal);
  }
}

async function copyOne(
  { action, source, lostXattrs, root, owner }: CopyRequest,
  from: string,
  destination: string,
  timestamp: bigint | undefined,
  signal: AbortSignal,
): Promise<void> {
  const mode = action.modeStr === '' && action.mode !== -1 ? action.mode : undefined;
  const directories = { mode: (mode ?? DIRECTORY_MODE) & 0o777, owner, timestamp };
  const named = !destination.endsWith('/') && !destination.endsWith('/.');
  const parent = toBytePath(named ? posix.dirname(destination) : destination);
  const made = [...makeDirectories(rootPath(root, parent), directories)];
  const modeChange = action.modeStr === '' ? undefined : parseModeChange(action.modeStr);
  const node = sourceNode(source, from, action.followSymlink);
  let target = rootPath(root, toBytePath(destination));
  const exists = statFile(systemPath(target)) !== undefined;
  const intoItself = node.type === 'dir' && action.dirCopyContents;
  if (exists && !intoItself && (node.type === 'dir' || isDirectory(target)))
    target = `${target}/${toBytePath(posix.basename(from))}`;
  made.push(...makeDirectories(intoItself && !exists ? target : splitPath(target)[0], directories));

  const include = action.includePatterns;
  const exclude = action.excludePatterns;
  const options: CopyTreeOptions = {
    filter: explained('includepatterns', include, () =>
      explained('excludepatterns', exclude, () => createPathFilter({ include, exclude })),
    ),
    owner,
    mode: mode === undefined ? undefined : mode & 0o7777,
    modeChange,
    timestamp,
    replace: action.alwaysReplaceExistingDestPaths,
    lostXattrs,
    root,
  };
  await copyTree(source, node, target, options, signal);
  if (timestamp !== undefined) for (const path of made.reverse()) setTimes(systemPath(path), timestamp, timestamp);
}

function sourceNode({ tree }: CopySource, path: string, followLinks: boolean): FileNode {
  const { node } = resolvePath(tree, toBytePath(path), followLinks);
  if (node === undefined) throw pathError('lstat', posix.join('/', path), ENOENT);
  return node;
}

/** An absolute, clean path that keeps a final `/` or `/.`, which say that it is a directory. */
function slashedPath(path: string): string {
  const clean = posix.resolve('/', path);
  if (path.endsWith('/.')) return clean === '/' ? '/.' : `${clean}/.`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

/** Nanoseconds since the epoch; undefined for -1, "not given". */
export function timestampOf(timestamp: bigint): bigint | undefined {
  return timestamp === -1n ? undefined : timestamp;
}
