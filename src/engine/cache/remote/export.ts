/** Caches that a build leaves behind (remote-cache facts, sections 6, 9, 10 and 16). */
import type { LayerBlob } from '../../exporter/result.ts';
import type { Ref, SnapshotRef } from '../../ops/ref.ts';
import type { CacheKey } from '../../solver/key.ts';
import { CacheOptionsError } from './attributes.ts';
import { collectRecords } from './collect-records.ts';
import type { ContentWriter } from './content-place.ts';
import { machineDirectories } from './directory-place.ts';
import { exportContent, manifestAnswer } from './export-content.ts';
import { exportObjects } from './export-objects.ts';
import { exportWithoutGone } from './gone-layers.ts';
import { identityOf, objectsOf } from './import.ts';
import { inlineRecords } from './inline-export.ts';
import { packMounts } from './mount-layers.ts';
import { type CacheExportOptions, type ContentPlace, defaultCompression, readExportOptions } from './options.ts';
import type { CacheExportDeps, CacheRequest } from './port.ts';
import { inVertex } from './progress.ts';
import { registryWriter } from './registry-place.ts';

/** The checked `--cache-to` of a build. */
export interface CacheExports {
  /** Whether the images that are exported shall hold a cache: `type=inline`. */
  readonly isInline: boolean;
  /**
   * The records for the config of one platform's image, JSON text; undefined when it can hold none.
   *
   * @param keys - of the platform's result
   * @param layers - the image's layers as blobs, bottom first
   */
  inlineCache(
    keys: readonly CacheKey<Ref>[],
    ref: SnapshotRef,
    layers: readonly LayerBlob[],
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /**
   * Writes all caches but the inline one, side by side, each under a vertex of its own. To be called after the image was
   * exported, when its layers are blobs already.
   *
   * @param keys - of all results, of every platform
   * @returns what clients are answered (`cache.manifest`).
   * @throws RemoteCacheError for the first export that failed, when all have ended; not for those with `ignore-error`.
   */
  run(keys: readonly CacheKey<Ref>[], signal: AbortSignal): Promise<Record<string, string>>;
}

type WrittenExport = Exclude<CacheExportOptions, { readonly type: 'inline' }>;
type ContentExport = Extract<CacheExportOptions, { readonly type: 'content' }>;
type ObjectExport = Extract<CacheExportOptions, { readonly type: 'object' }>;

/**
 * Checks the requests of `--cache-to`.
 *
 * @throws CacheOptionsError when one cannot be obeyed, or two are the same.
 */
export function openCacheExports(requests: readonly CacheRequest[], deps: CacheExportDeps): CacheExports {
  const seen = new Set<string>();
  const exports: WrittenExport[] = [];
  let isInline = false;
  for (const request of requests) {
    const options = readExportOptions(request, deps.env);
    if (options.type === 'inline') {
      isInline = true;
      continue;
    }
    const id = identityOf(request);
    if (seen.has(id)) throw new CacheOptionsError(`duplicate cache exports [${request.type}]`);
    seen.add(id);
    exports.push(options);
  }
  return {
    isInline,
    inlineCache: (keys, ref, layers, signal) => inlineRecords(keys, ref, layers, deps, signal),
    async run(keys, signal) {
      const answers: Record<string, string> = {};
      const ends = await Promise.allSettled(exports.map(options => exportCache(options, keys, deps, signal)));
      signal.throwIfAborted();
      for (const [index, end] of ends.entries()) {
        if (end.status === 'fulfilled') Object.assign(answers, end.value);
        else if (!ignoresErrors(exports[index])) throw end.reason;
      }
      return answers;
    },
  };
}

function ignoresErrors(options: WrittenExport | undefined): boolean {
  return options !== undefined && options.type !== 'none' && options.ignoreError;
}

function exportCache(
  options: WrittenExport,
  keys: readonly CacheKey<Ref>[],
  deps: CacheExportDeps,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  if (options.type === 'content') return exportToContent(options, keys, deps, signal);
  if (options.type === 'object') return exportToObjects(options, keys, deps, signal);
  return inVertex(options.vertex, deps, async vertex => {
    await vertex.step(`skipping cache export: ${options.reason}`, async () => undefined);
    return {};
  });
}

function exportToContent(
  { place, form, mode, merge, reset, mounts }: ContentExport,
  keys: readonly CacheKey<Ref>[],
  deps: CacheExportDeps,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const name = place.type === 'registry' ? 'exporting cache to registry' : 'exporting cache to client directory';
  return inVertex(name, deps, async vertex => {
    const { compression } = form;
    const records = await vertex.step('preparing build cache for export', () =>
      collectRecords(keys, { mode, compression }, deps, signal),
    );
    const writer = writerOf(place, deps);
    using packed = mounts && deps.mounts ? await packMounts(deps.mounts, deps.now, vertex.step, signal) : undefined;
    const earlier = await deps.earlier?.();
    const exported = { mounts: packed?.layers, origin: deps.origin?.(), earlier, now: deps.now() };
    const manifest = await vertex.step('sending cache export', () =>
      exportWithoutGone(
        records,
        present => exportContent({ ...exported, records: present }, form, merge, writer, vertex, signal),
        vertex.warn,
        signal,
      ),
    );
    if (reset && manifest !== undefined) await writer.sweep(signal);
    return manifest === undefined ? {} : manifestAnswer(manifest);
  });
}

function exportToObjects(
  { place, mode, merge }: ObjectExport,
  keys: readonly CacheKey<Ref>[],
  deps: CacheExportDeps,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const name = place.type === 's3' ? 'exporting cache to Amazon S3' : 'exporting to GitHub Actions Cache';
  return inVertex(name, deps, async vertex => {
    const records = await vertex.step('preparing build cache for export', () =>
      collectRecords(keys, { mode, compression: defaultCompression }, deps, signal),
    );
    const writer = objectsOf(place, deps);
    const send = (present: typeof records) => exportObjects(present, merge, writer, vertex, signal);
    await vertex.step('sending cache export', () => exportWithoutGone(records, send, vertex.warn, signal));
    return {};
  });
}

function writerOf(
  place: ContentPlace,
  { directories = machineDirectories, registryFor, repositoryOf }: CacheExportDeps,
): ContentWriter {
  if (place.type === 'local') return directories.writer(place.directory, place.tag, place.digest);
  const { reference, insecure } = place;
  return registryWriter(registryFor(reference.domain, insecure), reference, repositoryOf);
}
