import type { CacheExportDeps, CacheImportDeps } from '../../engine/cache/remote/port.ts';
import type { EventSink } from '../../engine/status/event.ts';
import type { Engine } from './engine.ts';

/** What caches that travel need of an engine; whose registries, files and environment they use may be put in its place. */
export function cacheDeps(
  engine: Engine,
  emit: EventSink,
): Omit<CacheImportDeps & CacheExportDeps, 'http' | 'env' | 'lost' | 'directories'> {
  const { now, registryFor, content, layers, layerBlobs, places } = engine;
  return { emit, now, registryFor, content, layers, layerBlobs, places, repositoryOf: () => undefined };
}
