import type { CacheBase, CacheExportDeps, CacheImportDeps, MountName } from '../../engine/cache/remote/port.ts';
import type { ImageMaterial } from '../../engine/exporter/provenance-materials.ts';
import type { EventSink, Timestamp } from '../../engine/status/event.ts';
import type { LoadedGraph } from '../../plan/llb/load.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { version } from '../cli/version.ts';
import { cacheMountsOf } from './cache-mounts.ts';
import type { Engine } from './engine.ts';

/** What a build has come to know, which exported caches tell. */
export interface BuildTrace {
  readonly graphs: readonly LoadedGraph[];
  readonly bases: readonly CacheBase[];
}

/** What caches that travel need of an engine; whose registries, files and environment they use may be put in its place. */
export function cacheDeps(
  engine: Engine,
  emit: EventSink,
  trace: BuildTrace = { graphs: [], bases: [] },
): Omit<CacheImportDeps & CacheExportDeps, 'http' | 'env' | 'lost' | 'directories'> {
  const { now, registryFor, content, layers, layerBlobs, places, root } = engine;
  return {
    emit,
    now,
    registryFor,
    content,
    layers,
    layerBlobs,
    places,
    repositoryOf: () => undefined,
    origin: () => ({ builder: `outcrop ${version()}`, bases: trace.bases }),
    mounts: { root: rootLayout(root).cacheMounts, names: () => mountNames(trace.graphs), content },
  };
}

/** An image that the frontend looked up, as exported caches name it. */
export function cacheBase({ ref, digest }: ImageMaterial, resolvedAt: Timestamp): CacheBase[] {
  if (digest === undefined) return [];
  const tagged = ref.replace(/@.*$/, '');
  const isTagged = /:[^/]*$/.test(tagged);
  return [{ name: isTagged ? tagged : ref, digest, resolvedAt, ...(tagged === ref ? {} : { isPinned: true }) }];
}

function mountNames(graphs: readonly LoadedGraph[]): MountName[] {
  return graphs.flatMap(({ vertices }) => vertices.flatMap(cacheMountsOf));
}
