import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { resolveInRoot } from '../system/root-path.ts';
import { RuntimeError } from './exit-error.ts';

/**
 * Makes a step's working directory, links followed inside the root, if it is missing; its missing parents, too. All of
 * them belong to the step's user and stay in the layer. Throws `RuntimeError`, in BuildKit's words.
 */
export function makeWorkingDirectory(root: string, cwd: string, uid: number, gid: number): void {
  let path: string;
  try {
    path = resolveInRoot(root, cwd);
  } catch (error) {
    throw new RuntimeError(`working dir  points to invalid target: ${reason(error)}`, { cause: error });
  }
  const missing: string[] = [];
  try {
    for (let at = path; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) missing.push(at);
    for (const directory of missing.reverse()) {
      mkdirSync(directory);
      chmodSync(directory, 0o755);
      chownSync(directory, uid, gid);
    }
  } catch (error) {
    throw new RuntimeError(`failed to create working directory ${path}: ${reason(error)}`, { cause: error });
  }
}

/** `lstat /a/b: not a directory` for Node's `ENOTDIR: not a directory, lstat '/a/b'`. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const parts = /^[A-Z0-9]+: (.*), (\w+) '(.*)'$/.exec(error.message);
  return parts === null ? error.message : `${parts[2]} ${parts[3]}: ${parts[1]}`;
}
