import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { outcropRoot } from '../../host/config/paths.ts';
import { type ContentStore, openContentStore } from '../../store/content/content-store.ts';
import { type ImageStore, openImageStore } from '../../store/content/images.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import { rootLayout } from '../../store/root-layout.ts';

/** The images of a root. */
export interface OpenImages extends Disposable {
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly images: ImageStore;
}

/**
 * Opens the images of `$OUTCROP_ROOT`; undefined where nothing was ever built, and nothing is made then.
 * @throws DatabaseError, StoreUnwritableError
 */
export function openImages(root: string = outcropRoot()): OpenImages | undefined {
  if (!existsSync(join(root, 'outcrop.db'))) return undefined;
  const database = openDatabase(root);
  return {
    root,
    database,
    content: openContentStore(rootLayout(root).content),
    images: openImageStore(database),
    [Symbol.dispose]: () => database[Symbol.dispose](),
  };
}
