/** Copies what COPY and ADD found into an image, as unpacking a tar there would. */
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { statFile } from '../../host/system/stat.ts';
import { type BytePath, systemPath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { createPathFilter } from '../../wire/fsutil/path-filter.ts';
import { copyTree } from '../ops/file/copy-tree.ts';
import { makeDirectories } from '../ops/file/make-directories.ts';
import type { Owner } from '../ops/file/owner.ts';
import { withImagePaths } from '../ops/file/path-error.ts';
import { isDirectory, rootPath, splitPath } from '../ops/file/root-path.ts';
import { unpackArchive } from '../ops/file/unpack.ts';
import type { FoundSource } from './copy-sources.ts';
import { LegacyBuildError, messageOf } from './error.ts';

/** A copy into an image. */
export interface CopyFilesRequest {
  readonly sources: readonly FoundSource[];
  /** As written; relative paths start at `workingDir`. A final slash says that it is a directory. */
  readonly destination: string;
  readonly workingDir: string;
  /** Whether archives are unpacked: ADD. */
  readonly unpacks: boolean;
  /** Undefined where files keep theirs. */
  readonly owner: Owner | undefined;
  /** The mounted image. */
  readonly root: string;
}

/** Copies files; what is in the way is replaced. @throws LegacyBuildError and the errors of reading the sources */
export async function copyFilesInto(request: CopyFilesRequest, signal: AbortSignal): Promise<void> {
  const root = toBytePath(request.root);
  const path = destinationPath(request.workingDir, request.destination);
  for (const source of request.sources) {
    try {
      await withImagePaths(root, () => copyOne(source, path, request, root, signal));
    } catch (cause) {
      signal.throwIfAborted();
      throw new LegacyBuildError(`failed to copy files: ${messageOf(cause)}`, { cause });
    }
  }
}

async function copyOne(
  { node, path, files, isDownload }: FoundSource,
  destination: string,
  { unpacks, owner }: CopyFilesRequest,
  root: BytePath,
  signal: AbortSignal,
): Promise<void> {
  const directories = { mode: 0o755, owner };
  const options = { filter: createPathFilter({}), owner, replace: true, lostXattrs: [], root };
  let target = rootPath(root, toBytePath(destination));
  if (node.type === 'dir') {
    // One that is not there is made with the mode of the original; anything else in its place is an error.
    const exists = statFile(systemPath(target)) !== undefined;
    makeDirectories(exists ? target : splitPath(target)[0], directories);
    await copyTree(files.copy, node, target, options, signal);
    return;
  }
  if (unpacks && !isDownload && node.type === 'file') {
    const request = { source: files.copy, node, root, destination, owner: undefined, timestamp: undefined };
    if (await unpackArchive(request, signal)) return;
  }
  if (destination.endsWith('/') || isDirectory(target)) target = `${target}/${toBytePath(posix.basename(path))}`;
  makeDirectories(splitPath(target)[0], directories);
  await copyTree(files.copy, node, target, options, signal);
}

function destinationPath(workingDir: string, written: string): string {
  const path = posix.resolve('/', workingDir, written);
  return (written.endsWith('/') || written.endsWith('/.') || written === '.') && path !== '/' ? `${path}/` : path;
}

/**
 * The owner that `--chown` names, by the passwd and group files of the image.
 * @throws LegacyBuildError for names that are not there
 */
export function chownOwner(chown: string, root: string): Owner {
  const parts = chown.split(':');
  const [user = '', group = user] = parts;
  if (parts.length > 2) throw new LegacyBuildError(`invalid chown string format: ${chown}`);
  try {
    return {
      uid: accountId(root, '/etc/passwd', user, 'user', 'uid'),
      gid: accountId(root, '/etc/group', group, 'group', 'gid'),
    };
  } catch (cause) {
    throw new LegacyBuildError(`unable to convert uid/gid chown string to host mapping: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function accountId(root: string, file: string, name: string, kind: string, id: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const found = linesOf(root, file).find(fields => fields[0] === name)?.[2];
  if (found !== undefined && /^\d+$/.test(found)) return Number(found);
  throw new LegacyBuildError(`can't find ${id} for ${kind} ${name}: no such ${kind}: ${name}`);
}

function linesOf(root: string, file: string): string[][] {
  const path = systemPath(rootPath(toBytePath(root), file));
  if (((statFile(path)?.mode ?? 0) & 0o170000) !== 0o100000) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .map(line => line.trim().split(':'));
}
