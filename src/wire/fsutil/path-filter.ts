import { compilePatterns, type MatchInfo } from './patterns.ts';

/** What a filter decides on a directory; given back to the filter for the paths directly in it. */
export interface FilteredDirectory {
  /** Whether the directory is kept for itself. One that is not is still needed as soon as something below it is kept. */
  readonly keep: boolean;
  /** Whether something below it can be kept, so that it has to be read. */
  readonly enter: boolean;
  readonly include: MatchInfo | undefined;
  readonly exclude: MatchInfo | undefined;
}

/** Decides path by path on a walk from the top down. `parent` is left out for what stands at the top of the tree. */
export interface PathFilter {
  /** Whether nothing is left out: neither include nor exclude patterns were given. */
  readonly keepsAll: boolean;
  /** Whether a path that is not a directory is kept. */
  keepsFile(path: string, parent?: FilteredDirectory): boolean;
  directory(path: string, parent?: FilteredDirectory): FilteredDirectory;
}

/**
 * The filter of file transfers (github.com/tonistiigi/fsutil): a path is kept if it is included (or there are no include
 * patterns) and not excluded. Directories in which nothing can be kept need not be read.
 *
 * Throws PatternSyntaxError, at once or, for a pattern that only fails when used, on a decision.
 */
export function createPathFilter(patterns: {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}): PathFilter {
  const include = patterns.include?.length ? compilePatterns(patterns.include) : undefined;
  const exclude = patterns.exclude?.length ? compilePatterns(patterns.exclude) : undefined;
  return {
    keepsAll: include === undefined && exclude === undefined,
    keepsFile: (path, parent) =>
      (include?.matches(path, parent?.include) ?? true) && !(exclude?.matches(path, parent?.exclude) ?? false),
    directory: (path, parent) => {
      const included = include?.match(path, parent?.include);
      const excluded = exclude?.match(path, parent?.exclude);
      const isIncluded = included?.matched ?? true;
      const isExcluded = excluded?.matched ?? false;
      return {
        keep: isIncluded && !isExcluded,
        enter:
          (isIncluded || (include?.mayMatchBelow(path) ?? true)) &&
          (!isExcluded || (exclude?.mayExceptBelow(path) ?? true)),
        include: included,
        exclude: excluded,
      };
    },
  };
}
