/**
 * The files of two lists by the paths that they were read under. A content key holds no path of what is selected, so what is
 * known of one may name another place where the same content was found first.
 */
import type { KeyPart } from '../../engine/status/event.ts';
import type { InputKeys } from '../history/build-record.ts';
import type { PartsReader } from './step-kind.ts';

type Lists = readonly [readonly KeyPart[], readonly KeyPart[]];

/** @param lists - what differs of two content keys @param keys - those keys, the old ones first */
export function filesAsSelected(
  lists: Lists,
  keys: readonly [InputKeys & { readonly content: string }, InputKeys & { readonly content: string }],
  parts: PartsReader,
): Lists {
  const [past, now] = keys.map(({ selector }) => pathsOf(parts(selector ?? '') ?? []));
  if (past === undefined || now === undefined || (isBelow(lists[0], past) && isBelow(lists[1], now))) return lists;
  const [before, after] = [parts(keys[0].content), parts(keys[1].content)];
  // Both lie elsewhere: a link that was selected leads there.
  if (before === undefined || after === undefined || before[0]?.name === after[0]?.name) return lists;
  return [renamed(before, past), renamed(after, now)];
}

/** The selected paths in the order of their files; undefined where a pattern selects. */
function pathsOf(selectors: readonly KeyPart[]): readonly string[] | undefined {
  const paths = selectors.map(({ name }) => name.replace(/^\/*/, '/').replace(/(?<=.)\/+$/, ''));
  return paths.length === 0 || paths.some(path => /[*?[\\]/.test(path)) ? undefined : paths.sort();
}

function isBelow(files: readonly KeyPart[], paths: readonly string[]): boolean {
  return files.every(({ name }) => paths.some(path => path === '/' || name === path || name.startsWith(`${path}/`)));
}

function renamed(files: readonly KeyPart[], paths: readonly string[]): readonly KeyPart[] {
  const [path = '', ...others] = paths;
  if (others.length > 0) {
    const isEach = files.length === paths.length && files.every(({ kind }) => kind !== 'directory');
    return isEach ? files.map((file, index) => ({ ...file, name: paths[index] ?? file.name })) : files;
  }
  const root = files[0]?.name ?? '';
  if (root === '/' || path === '/' || !isBelow(files, [root])) return files;
  return files.map(file => ({ ...file, name: `${path}${file.name.slice(root.length)}` }));
}
