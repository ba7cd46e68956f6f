/** The same project in another directory: a second clone, a work tree of git, the work directory of a CI job. */
import type { BuildSummary } from '../history/build-record.ts';

/**
 * The builds of a context of the same name elsewhere whose Dockerfile has at least half of its lines in common with that
 * of a build, in the order that they are given in.
 */
export function buildsElsewhere(
  build: BuildSummary,
  others: readonly BuildSummary[],
  textOf: (digest: string) => string | undefined,
): BuildSummary[] {
  const linesOf = ({ dockerfileText }: BuildSummary) => {
    const text = dockerfileText === undefined ? undefined : textOf(dockerfileText);
    return new Set((text ?? '').split('\n').filter(line => /^\s*[^#\s]/.test(line)));
  };
  const [context, dockerfile] = [nameOf(build.context), nameOf(build.dockerfile)];
  const named = others.filter(
    other =>
      nameOf(other.context) === context &&
      nameOf(other.dockerfile) === dockerfile &&
      (other.context !== build.context || other.dockerfile !== build.dockerfile),
  );
  if (named.length === 0 || context === '') return [];
  const lines = linesOf(build);
  return named.filter(other => {
    const there = linesOf(other);
    const common = lines.intersection(there).size;
    return common > 0 && 2 * common >= Math.min(lines.size, there.size);
  });
}

/** The last part of a path or of a URL; another branch of a repository is the same one. */
function nameOf(place: string): string {
  return /([^/]*)\/*$/.exec(place.replace(/#.*$/, ''))?.[1] ?? '';
}
