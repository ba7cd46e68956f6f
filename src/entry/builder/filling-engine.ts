import type { RemoteImport } from '../../engine/cache/remote/import.ts';
import { fillingMounts } from '../../engine/cache/remote/mount-layers.ts';
import type { EventSink } from '../../engine/status/event.ts';
import { rootLayout } from '../../store/root-layout.ts';
import type { Engine } from './engine.ts';

/** An engine whose cache mounts are filled from what a build imports, where they have no files. */
export function fillingEngine(engine: Engine, emit: EventSink, imports: () => readonly RemoteImport[]): Engine {
  const { content, now, cacheMounts } = engine;
  const imported = async () => (await Promise.all(imports().map(({ mounts }) => mounts))).flat();
  const deps = { root: rootLayout(engine.root).cacheMounts, content, emit, now, imported };
  return { ...engine, cacheMounts: fillingMounts(cacheMounts, deps) };
}
