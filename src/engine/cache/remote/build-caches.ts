/** All `--cache-from` and `--cache-to` of one build. */
import { parseGoBool } from '../../../wire/go-bool.ts';
import { type CacheExports, openCacheExports } from './export.ts';
import { openCacheImports, type RemoteImport } from './import.ts';
import { objectHttp } from './object-http.ts';
import type { CacheExportDeps, CacheImportDeps, CacheRequest, EarlierExport } from './port.ts';

export interface BuildCacheRequests {
  readonly from: readonly CacheRequest[];
  readonly to: readonly CacheRequest[];
  /** The build argument `BUILDKIT_INLINE_CACHE`, if given: a true value asks for an inline cache. */
  readonly inlineArgument?: string | undefined;
}

/** Keeps connections until it is disposed: layers may be fetched as long as the build runs. */
export interface BuildCaches extends AsyncDisposable {
  /** For the solver's job. They are being read already. */
  readonly imports: readonly RemoteImport[];
  readonly exports: CacheExports;
}

/** What imported caches said of themselves. */
export async function earlierExports(imports: readonly RemoteImport[]): Promise<readonly EarlierExport[]> {
  return (await Promise.all(imports.map(({ about }) => about))).flatMap(about => about ?? []);
}

/**
 * Checks what a build asks for, and starts to read its sources.
 *
 * @throws CacheOptionsError before anything is read.
 */
export function openBuildCaches(
  { from, to, inlineArgument = '' }: BuildCacheRequests,
  deps: Omit<CacheImportDeps & CacheExportDeps, 'http'>,
  signal: AbortSignal,
): BuildCaches {
  const inline = parseGoBool(inlineArgument) ? [{ type: 'inline', attributes: {} }] : [];
  const http = objectHttp();
  const all = { ...deps, http };
  let imports: readonly RemoteImport[] = [];
  const earlier = () => earlierExports(imports);
  const exports = openCacheExports([...to, ...inline], { earlier, ...all });
  imports = openCacheImports(from, all, signal);
  return {
    exports,
    imports,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}
