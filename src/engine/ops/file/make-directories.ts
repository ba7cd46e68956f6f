/** Makes directories with their parents, as file actions do. */
import { chmodSync, lchownSync, mkdirSync } from 'node:fs';
import { setTimes } from '../../../host/system/inode.ts';
import { statFile } from '../../../host/system/stat.ts';
import { type BytePath, fromBytePath, systemPath } from '../../../wire/fsutil/byte-path.ts';
import type { Owner } from './owner.ts';
import { ENOTDIR, pathError } from './path-error.ts';
import { S_IFDIR, S_IFMT, splitPath } from './root-path.ts';

/** What made directories are like. */
export interface DirectoryOptions {
  /** The nine permission bits. */
  readonly mode: number;
  readonly owner?: Owner | undefined;
  /** Nanoseconds since the epoch; now by default. */
  readonly timestamp?: bigint | undefined;
}

/**
 * Makes a directory and those above it that are missing. Existing ones are left alone. The path has been resolved: links
 * are not followed.
 *
 * @returns The directories that were made, top first.
 * @throws `SystemError` `mkdir PATH: not a directory` when something on the way is none.
 */
export function makeDirectories(path: BytePath, options: DirectoryOptions): readonly BytePath[] {
  const missing: BytePath[] = [];
  for (let at = path; ; at = splitPath(at)[0]) {
    const status = statFile(systemPath(at === '' ? '/' : at));
    if (status !== undefined) {
      if ((status.mode & S_IFMT) !== S_IFDIR) throw pathError('mkdir', fromBytePath(at), ENOTDIR);
      break;
    }
    missing.push(at);
  }
  missing.reverse();
  for (const directory of missing) {
    mkdirSync(systemPath(directory));
    chmodSync(systemPath(directory), options.mode);
    dress(directory, options);
  }
  return missing;
}

/** Sets owner and times of what was just made, if they were asked for. */
export function dress(path: BytePath, { owner, timestamp }: Omit<DirectoryOptions, 'mode'>): void {
  if (owner) lchownSync(systemPath(path), owner.uid, owner.gid);
  if (timestamp !== undefined) setTimes(systemPath(path), timestamp, timestamp);
}
