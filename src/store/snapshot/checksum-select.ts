import { type BytePath, fromBytePath, toBytePath } from '../../wire/fsutil/byte-path.ts';
import { explained } from '../../wire/fsutil/filter-tree.ts';
import { compilePathPattern, hasPathWildcard } from '../../wire/fsutil/path-match.ts';
import { compilePatterns, type MatchInfo, type PatternMatcher } from '../../wire/fsutil/patterns.ts';
import { ContentChecksumError } from './checksum-error.ts';
import { type FileNode, type FileTree, resolvePath } from './file-tree.ts';

/** What of a path is checksummed. */
export interface ChecksumOptions {
  /** Follow a link that the path ends in. */
  readonly followLinks?: boolean;
  /** Whether the path is a pattern. */
  readonly wildcard?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** Beginnings of paths that must be among what is included. */
  readonly required?: readonly string[];
}

/** A file, link or directory header that counts. */
interface Included {
  /** As it was asked for: below the path of the query, links in that path not replaced. With a leading slash; empty for the root. */
  readonly path: BytePath;
  readonly node: FileNode;
  /** Whether, being a link, it counts as what it points to. */
  readonly follow: boolean;
}

/** The list that a checksum with a wildcard or with patterns is made of. */
export interface Selection {
  /** The beginning of all paths that is left out of the checksum. */
  readonly prefix: BytePath;
  readonly included: readonly Included[];
}

interface Visited extends Included {
  readonly parent: Visited | undefined;
  includeInfo: MatchInfo | undefined;
  excludeInfo: MatchInfo | undefined;
  isIncluded: boolean;
}

/** Whether a query makes a list; else it is about one record. */
export function makesList(options: ChecksumOptions): boolean {
  return options.wildcard === true || (options.include?.length ?? 0) > 0 || (options.exclude?.length ?? 0) > 0;
}

/**
 * What a query with a wildcard or patterns selects, in tree order (BuildKit's `contenthash`): files and links that match,
 * and the headers of the directories that match or lead to one.
 *
 * @param path Absolute and clean; a pattern if `options.wildcard` says so.
 * @param slash Whether the path was asked for with a final slash, as `/` is: then its own header does not count.
 * @param pause Called now and then; lets others run.
 *
 * Throws ContentChecksumError if something required is missing, PatternSyntaxError and TooManyLinksError.
 */
export async function select(
  tree: FileTree,
  path: string,
  slash: boolean,
  options: ChecksumOptions,
  pause: () => Promise<void> | undefined,
): Promise<Selection> {
  const { wildcard = false, followLinks = false } = options;
  const asked = path === '/' ? '' : toBytePath(path);
  const include = compile('includepatterns', options.include);
  const exclude = compile('excludepatterns', options.exclude);
  const matcher = wildcard && asked !== '' ? pathMatcher(path) : undefined;
  const list: Visited[] = [];

  const [above, rest] = wildcard ? splitWildcard(path) : [asked, ''];
  const start = above === '' ? tree.root : resolvePath(tree, above, rest !== '').node;
  // Patterns count from the path asked for, or from each path that the wildcard matched.
  if (start !== undefined) await visit(start, above, undefined, matcher === undefined ? asked : undefined);
  requireAll(list, options.required ?? []);
  return { prefix: above, included: list };

  async function visit(
    node: FileNode,
    at: BytePath,
    parent: Visited | undefined,
    base: BytePath | undefined,
  ): Promise<void> {
    if (node.type === 'dir') await pause();
    if (base === undefined && matcher !== undefined) {
      const { matches, mayMatchBelow } = matcher;
      if (matches(at)) {
        await visit(node, at, parent, at);
      } else if (node.type === 'dir' && mayMatchBelow(at)) {
        for (const child of tree.children(node)) await visit(child, `${at}/${child.name}`, parent, undefined);
      }
      return;
    }
    if (node.type === 'dir' && slash && at === asked) {
      for (const child of tree.children(node)) await visit(child, `${at}/${child.name}`, undefined, base);
      return;
    }
    const entry: Visited = {
      path: at,
      node,
      follow: followLinks && parent === undefined,
      parent,
      includeInfo: undefined,
      excludeInfo: undefined,
      isIncluded: false,
    };
    const candidate = fromBytePath(at.slice((base ?? '').length + 1));
    if (counts(entry, candidate)) add(entry);
    if (node.type !== 'dir' || !mayCountBelow(entry, candidate)) return;
    for (const child of tree.children(node)) {
      if (child.type === 'dir') await visit(child, `${at}/${child.name}`, entry, base);
      else leaf(child, `${at}/${child.name}`, entry, base);
    }
  }

  function leaf(node: FileNode, at: BytePath, parent: Visited, base: BytePath | undefined): void {
    const candidate = fromBytePath(at.slice((base ?? '').length + 1));
    if (include !== undefined && !include.matches(candidate, parent.includeInfo)) return;
    if (exclude?.matches(candidate, parent.excludeInfo)) return;
    add({ path: at, node, follow: false, parent, includeInfo: undefined, excludeInfo: undefined, isIncluded: false });
  }

  /** Keeps what the patterns said, for the children. Excludes are not even tried on what is not included. */
  function counts(entry: Visited, candidate: string): boolean {
    if (include !== undefined) {
      entry.includeInfo = include.match(candidate, entry.parent?.includeInfo);
      if (!entry.includeInfo.matched) return false;
    }
    if (exclude !== undefined) {
      entry.excludeInfo = exclude.match(candidate, entry.parent?.excludeInfo);
      if (entry.excludeInfo.matched) return false;
    }
    return true;
  }

  function mayCountBelow(entry: Visited, candidate: string): boolean {
    if (candidate === '') return true;
    if (entry.includeInfo?.matched === false && include?.mayMatchBelow(candidate) === false) return false;
    return !(entry.excludeInfo?.matched === true && exclude?.mayExceptBelow(candidate) === false);
  }

  function add(entry: Visited): void {
    if (entry.parent !== undefined && !entry.parent.isIncluded) add(entry.parent);
    entry.isIncluded = true;
    list.push(entry);
  }
}

function compile(
  role: 'includepatterns' | 'excludepatterns',
  patterns: readonly string[] | undefined,
): PatternMatcher | undefined {
  if (patterns === undefined || patterns.length === 0) return undefined;
  return explained(role, patterns, () => compilePatterns(patterns));
}

interface PathMatcher {
  matches(path: BytePath): boolean;
  /** Whether a match below a directory that is none itself is possible. */
  mayMatchBelow(directory: BytePath): boolean;
}

function pathMatcher(pattern: string): PathMatcher {
  // A malformed pattern fails when the first path is compared with it.
  let whole: ((path: string) => boolean) | undefined;
  let levels: ((name: string) => boolean)[] | undefined;
  // A class can match a slash, and a backslash can stand before one: then levels cannot be compared one by one.
  const isSplittable = !/[[\\]/.test(pattern);
  return {
    matches: path => {
      whole ??= compilePathPattern(pattern);
      return whole(fromBytePath(path));
    },
    mayMatchBelow: directory => {
      if (!isSplittable) return true;
      levels ??= pattern.split('/').map(level => compilePathPattern(level));
      const names = fromBytePath(directory).split('/');
      return names.length < levels.length && (levels[names.length - 1]?.(names.at(-1) ?? '') ?? false);
    },
  };
}

/** The part of a path before the first component with a wildcard, empty for the root, and the rest. */
function splitWildcard(path: string): readonly [BytePath, BytePath] {
  const names = path.split('/');
  const first = names.findIndex(hasPathWildcard);
  const cut = first < 0 ? names.length : first;
  const above = names.slice(0, cut).join('/');
  return [toBytePath(above === '/' ? '' : above), toBytePath(names.slice(cut).join('/'))];
}

function requireAll(list: readonly Included[], required: readonly string[]): void {
  for (const path of required) {
    const beginning = toBytePath(path);
    if (!list.some(entry => entry.path.startsWith(beginning))) throw notFound(path);
  }
}

/** The error for a path that is not there; the path is quoted as Go does. */
export function notFound(path: string): ContentChecksumError {
  const quoted = JSON.stringify(path).replace(/\\u00([0-9a-f]{2})/g, '\\x$1');
  return new ContentChecksumError('not-found', `${quoted}: not found`);
}
