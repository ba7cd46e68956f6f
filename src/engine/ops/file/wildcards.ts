/** Source paths with wildcards, resolved in a tree. */
import { posix } from 'node:path';
import { type FileNode, type FileTree, pathOf, resolvePath } from '../../../store/snapshot/file-tree.ts';
import { fromBytePath, toBytePath } from '../../../wire/fsutil/byte-path.ts';
import { compilePathPattern, hasPathWildcard } from '../../../wire/fsutil/path-match.ts';
import { ENOENT, pathError } from './path-error.ts';

/**
 * The paths that a path with wildcards stands for, in tree order; a path without any stands for itself. The part before the
 * first wildcard is looked up, with `followLinks` through its last component too. Below what matches nothing more is
 * looked for.
 *
 * Throws `SystemError` (ENOENT) when the part before the wildcard is missing, and PatternSyntaxError.
 */
export function resolveWildcards(tree: FileTree, path: string, followLinks: boolean): readonly string[] {
  const names = posix.join('/', path).split('/');
  const first = names.findIndex(hasPathWildcard);
  if (first < 0) return [path];
  const base = names.slice(0, first).join('/') || '/';
  const { node: top } = resolvePath(tree, toBytePath(base), followLinks);
  if (top === undefined) throw pathError('lstat', base, ENOENT);
  if (top.type !== 'dir') return [];
  const pattern = names.slice(first).filter(name => name !== '');
  const matches = compilePathPattern(pattern.join('/'));
  // A class may match a slash, and then levels do not line up.
  const byLevel = pattern.some(name => name.includes('[')) ? undefined : pattern.map(compilePathPattern);
  const found: string[] = [];
  const visit = (directory: FileNode, above: string, depth: number): void => {
    for (const child of tree.children(directory)) {
      const name = fromBytePath(child.name);
      if (byLevel && !byLevel[depth]?.(name)) continue;
      const relative = above === '' ? name : `${above}/${name}`;
      if (matches(relative)) found.push(`/${fromBytePath(pathOf(child))}`);
      else if (child.type === 'dir' && (!byLevel || depth + 1 < byLevel.length)) visit(child, relative, depth + 1);
    }
  };
  visit(top, '', 0);
  return found;
}
