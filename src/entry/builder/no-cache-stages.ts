import { parseFile } from '../../plan/dockerfile/parse-file.ts';
import { parseStages } from '../../plan/dockerfile/parse-stages.ts';
import { suggest } from '../../plan/dockerfile/suggest.ts';
import { BuildRequestError } from './frontend-options.ts';
import type { BuildRequest } from './request.ts';

/**
 * Checks that `--no-cache-filter` names stages of the Dockerfile: a name that means nothing would be obeyed by doing nothing.
 * @throws BuildRequestError with the near miss
 */
export function checkNoCacheStages({ noCache }: Pick<BuildRequest, 'noCache'>, dockerfile: Uint8Array): void {
  if (noCache === 'all' || noCache.length === 0) return;
  const names = parseStages(parseFile(dockerfile)).stages.flatMap(({ name }) => (name === '' ? [] : [name]));
  for (const wanted of noCache) {
    if (names.some(name => name.toLowerCase() === wanted.toLowerCase())) continue;
    const near = suggest(wanted, names, { caseSensitive: false });
    const known = names.length === 0 ? 'its stages have no names' : `its stages are ${names.join(', ')}`;
    const hint = near === undefined ? `: ${known}` : ` (did you mean ${near}?)`;
    throw new BuildRequestError(`--no-cache-filter ${wanted}: the Dockerfile has no such stage${hint}`);
  }
}
