/** File actions but for copy: mkdir, mkfile, symlink and rm in a root directory. */
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import { statFile } from '../../../host/system/stat.ts';
import { directoryTree } from '../../../store/snapshot/file-tree-directory.ts';
import { type BytePath, fromBytePath, systemPath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import type {
  FileActionMkDir,
  FileActionMkFile,
  FileActionRm,
  FileActionSymlink,
} from '../../../wire/proto/gen/pb/ops_pb.ts';
import { timestampOf } from './copy.ts';
import { dress, makeDirectories } from './make-directories.ts';
import type { Owner } from './owner.ts';
import { ENOENT, pathError } from './path-error.ts';
import { rootPath } from './root-path.ts';
import { resolveWildcards } from './wildcards.ts';

const PERMISSIONS = 0o777;

/** What {@link removePath} is asked to remove is the root itself. */
class EmptyPathError extends Error {
  override readonly name = 'EmptyPathError';
  constructor() {
    super('rmPath: invalid empty path');
  }
}

/**
 * Makes a directory, with its parents if asked for. One that is there stays as it is; without parents, so does anything else.
 * Throws `SystemError` and the errors of `node:fs`, with paths of the machine.
 */
export function makeDirectory(root: BytePath, action: FileActionMkDir, owner: Owner | undefined): void {
  const path = rootPath(root, toBytePath(action.path));
  const options = { mode: action.mode & PERMISSIONS, owner, timestamp: timestampOf(action.timestamp) };
  if (action.makeParents) {
    makeDirectories(path, options);
    return;
  }
  if (statFile(systemPath(path)) !== undefined) return;
  mkdirSync(systemPath(path));
  chmodSync(systemPath(path), options.mode);
  dress(path, options);
}

/** Writes a file, through links inside the root; its directory must be there. Throws as {@link makeDirectory}. */
export function makeFile(root: BytePath, action: FileActionMkFile, owner: Owner | undefined): void {
  const path = rootPath(root, toBytePath(action.path));
  const isNew = statFile(systemPath(path)) === undefined;
  writeFileSync(systemPath(path), action.data);
  // The mode is for a file that is made; one that is there keeps its own.
  if (isNew) chmodSync(systemPath(path), action.mode & PERMISSIONS);
  dress(path, { owner, timestamp: timestampOf(action.timestamp) });
}

/** Makes a symlink where nothing is. Throws as {@link makeDirectory}. */
export function makeSymlink(root: BytePath, action: FileActionSymlink, owner: Owner | undefined): void {
  const path = rootPath(root, toBytePath(action.newpath));
  symlinkSync(action.oldpath, systemPath(path));
  dress(path, { owner, timestamp: timestampOf(action.timestamp) });
}

/**
 * Removes a path with what is below it; a link itself and not what it points to. A path with wildcards may match nothing.
 * Throws {@link EmptyPathError}, `SystemError` and the errors of `node:fs`.
 */
export function removePath(root: BytePath, action: FileActionRm): void {
  if (!action.allowWildcard) {
    removeOne(root, toBytePath(action.path), action.allowNotFound);
    return;
  }
  const tree = directoryTree(fromBytePath(root));
  for (const path of resolveWildcards(tree, posix.resolve('/', action.path), false))
    removeOne(root, toBytePath(path), action.allowNotFound);
}

function removeOne(root: BytePath, path: BytePath, allowNotFound: boolean): void {
  const clean = posix.join('/', path);
  if (clean.endsWith('/')) throw new EmptyPathError();
  const target = rootPath(root, clean, false);
  if (!allowNotFound && statFile(systemPath(target)) === undefined) {
    throw pathError('stat', fromBytePath(clean), ENOENT);
  }
  rmSync(systemPath(target), { recursive: true, force: true });
}
