/** Paths inside a root directory, links followed and never out of it. */
import { readlinkSync } from 'node:fs';
import { statFile } from '../../../host/system/stat.ts';
import { TooManyLinksError } from '../../../store/snapshot/file-tree.ts';
import { type BytePath, systemPath } from '../../../wire/fsutil/byte-path.ts';

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const MOST_LINKS = 255;

/**
 * Where `path` leads when `root` is the root directory: `..` stops there and absolute link targets start there. Names that do
 * not exist are kept as they are. With `followLast` a link in the last place is followed too, also one that leads nowhere.
 *
 * Throws TooManyLinksError.
 *
 * @returns A path that starts with `root`.
 */
export function rootPath(root: BytePath, path: BytePath, followLast = true): BytePath {
  const pending = namesOf(path);
  const resolved: BytePath[] = [];
  for (let name = pending.pop(), links = 0; name !== undefined; name = pending.pop()) {
    if (name === '..') {
      resolved.pop();
      continue;
    }
    resolved.push(name);
    if (pending.length === 0 && !followLast) break;
    const current = systemPath(`${root}/${resolved.join('/')}`);
    if (((statFile(current)?.mode ?? 0) & S_IFMT) !== S_IFLNK) continue;
    if (++links > MOST_LINKS) throw new TooManyLinksError('too many links');
    const target = readlinkSync(current, 'latin1');
    if (target.startsWith('/')) resolved.length = 0;
    else resolved.pop();
    pending.push(...namesOf(target));
  }
  return resolved.length === 0 ? root : `${root}/${resolved.join('/')}`;
}

/** The names in a path, last first. */
function namesOf(path: BytePath): BytePath[] {
  return path
    .split('/')
    .filter(name => name !== '' && name !== '.')
    .reverse();
}

/** The directory that a path lies in, and its last name. The path has no final slash. */
export function splitPath(path: BytePath): readonly [directory: BytePath, name: BytePath] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, slash), path.slice(slash + 1)];
}

/** Whether there is a directory, or a link to one. `path` has been resolved, so it is none. */
export function isDirectory(path: BytePath): boolean {
  return ((statFile(systemPath(path))?.mode ?? 0) & S_IFMT) === S_IFDIR;
}
