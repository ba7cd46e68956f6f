import type { CacheStores } from '../../engine/cache/collect-usage.ts';
import { snapshotResults } from '../../engine/cache/snapshot-results.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { openLayerStore } from '../../store/snapshot/layer-store.ts';
import { type OpenImages, openImages } from './open-stores.ts';

/** All stores of a root, for `du` and `prune`. */
export interface OpenCache extends CacheStores, AsyncDisposable {
  readonly root: string;
}

/**
 * Opens the stores of a root; undefined where nothing was ever built.
 * @throws DatabaseError, StoreUnwritableError
 */
export function openCache(root?: string): OpenCache | undefined {
  const images: OpenImages | undefined = openImages(root);
  if (images === undefined) return undefined;
  const { root: place, database, content } = images;
  const layers = openLayerStore({ root: place, content, database });
  const { layersOf } = snapshotResults(layers);
  return {
    root: place,
    database,
    content,
    images: images.images,
    layers,
    layersOf,
    directories: rootLayout(place),
    async [Symbol.asyncDispose]() {
      await layers[Symbol.asyncDispose]();
      images[Symbol.dispose]();
    },
  };
}
