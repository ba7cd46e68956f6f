import { lstatSync, readdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimes } from '../system/inode.ts';
import { resolveInRoot } from '../system/root-path.ts';

/**
 * Notes which mount points a root lacks before a step. The runtime makes them for the mounts; what is still empty
 * afterwards was only a stub and must not get into the layer.
 *
 * @param targets Where the step's mounts go.
 * @param recursive Whether missing parents are stubs, too.
 * @returns What removes the stubs, to be called after the step. Parents keep their times (BuildKit issue 3148). Never throws.
 */
export function watchMountStubs(root: string, targets: readonly string[], recursive: boolean): () => void {
  const stubs: string[] = [];
  for (const target of targets) {
    let path: string;
    try {
      path = resolveInRoot(root, target);
    } catch {
      continue;
    }
    while (path !== root && isMissing(path)) {
      stubs.push(path);
      if (!recursive) break;
      path = dirname(path);
    }
  }
  return () => {
    for (const stub of stubs) {
      try {
        removeStub(root, stub);
      } catch {
        // In use or gone, or a directory that holds something: then it is no stub.
      }
    }
  };
}

function isMissing(path: string): boolean {
  try {
    lstatSync(path);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
  }
}

function removeStub(root: string, stub: string): void {
  // The step may have put links in place of what was made.
  const path = resolveInRoot(root, stub.slice(root.length));
  const parent = dirname(path);
  if (resolveInRoot(root, parent.slice(root.length)) !== parent) return;
  const stat = lstatSync(path);
  if (stat.isDirectory() ? readdirSync(path).length > 0 : stat.size > 0) return;
  const times = statSync(parent, { bigint: true });
  if (stat.isDirectory()) rmdirSync(path);
  else unlinkSync(path);
  setTimes(parent, times.atimeNs, times.mtimeNs);
}
