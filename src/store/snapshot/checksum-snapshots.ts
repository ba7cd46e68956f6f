import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import type { WorkerPool } from '../content/pool.ts';
import type { Database } from '../database.ts';
import { type ContentChecksums, contentChecksums } from './checksum.ts';
import { openRecordCache, type RecordCache } from './checksum-cache.ts';
import { type LayersTreeOptions, layersTree } from './file-tree-layers.ts';

/** Files and checksums of snapshots. What was read of a layer once is not read again, also by later processes. */
export interface SnapshotContents extends Disposable {
  /** The files of layers, bottom first; at least one, all present on disk. The same object for the same layers. */
  open(layers: readonly string[]): ContentChecksums;
  /** Drops what is known of a layer that is removed. */
  forget(layer: string): void;
  /** Writes down what was read since. */
  save(): void;
}

export interface SnapshotContentsOptions extends LayersTreeOptions {
  /** The directory of a layer's files. */
  readonly layerPath: (layer: string) => string;
  /** Where digests of files are kept. */
  readonly directory: string;
  /** Where digests of whole queries are kept. */
  readonly database: Database;
  readonly pool?: () => WorkerPool;
}

const STEPS = [
  `CREATE TABLE content_checksum (
    top TEXT NOT NULL,
    layers TEXT NOT NULL,
    query TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (top, layers, query)
  ) STRICT, WITHOUT ROWID`,
];

/** Trees that stay open: a build looks at a stage from several steps in a row. */
const MAX_OPEN = 32;

/** Opens the checksums of the snapshots of a store. */
export function snapshotContents(options: SnapshotContentsOptions): SnapshotContents {
  const { database, directory, layerPath, pool, overlayXattrs } = options;
  database.migrate('content_checksum', STEPS);
  const find = database.sql.prepare('SELECT digest FROM content_checksum WHERE top = ? AND layers = ? AND query = ?');
  const add = database.sql.prepare('INSERT OR REPLACE INTO content_checksum VALUES (?, ?, ?, ?)');
  const remove = database.sql.prepare('DELETE FROM content_checksum WHERE top = ?');
  const caches = new Map<string, RecordCache>();
  const open = new Map<string, { readonly contents: ContentChecksums; readonly layers: readonly string[] }>();

  function cachePath(layer: string): string {
    return join(directory, `layer-${layer}`);
  }

  function cacheOf(layer: string): RecordCache {
    let cache = caches.get(layer);
    if (cache === undefined) {
      cache = openRecordCache(cachePath(layer), { immutable: true, openedAt: Date.now() });
      caches.set(layer, cache);
    }
    return cache;
  }

  function openNew(layers: readonly string[], name: string): ContentChecksums {
    const tree = layersTree(layers.map(layerPath), overlayXattrs === undefined ? {} : { overlayXattrs });
    const own = contentChecksums(tree, {
      view: 'scan',
      cache: node => {
        const layer = layers[layers.length - 1 - node.origin];
        return layer === undefined ? undefined : cacheOf(layer);
      },
      ...(pool === undefined ? {} : { pool }),
    });
    const top = layers.at(-1) ?? '';
    const examine: ContentChecksums['examine'] = async (path, query = {}, signal) => {
      const key = JSON.stringify([path, query]);
      const known = find.get(top, name, key)?.['digest'];
      if (typeof known === 'string') return { digest: known as Digest, entries: () => [] };
      const found = await own.examine(path, query, signal);
      add.run(top, name, key, found.digest);
      return found;
    };
    return { ...own, examine, checksum: async (...query) => (await examine(...query)).digest };
  }

  /** Closes the tree that was not asked for for longest, and forgets what only it needed of layers once that is written down. */
  function closeOldest(): void {
    const [oldest] = open.keys();
    const closed = oldest === undefined ? undefined : open.get(oldest);
    if (oldest === undefined || closed === undefined) return;
    open.delete(oldest);
    const needed = new Set([...open.values()].flatMap(({ layers }) => layers));
    for (const layer of closed.layers) {
      if (needed.has(layer)) continue;
      caches.get(layer)?.save();
      caches.delete(layer);
    }
  }

  function save(): void {
    for (const cache of caches.values()) cache.save();
  }

  return {
    open: layers => {
      const name = digestOf(layers.join('\n'));
      const found = open.get(name) ?? { contents: openNew(layers, name), layers };
      open.delete(name);
      open.set(name, found);
      if (open.size > MAX_OPEN) closeOldest();
      return found.contents;
    },
    forget: layer => {
      remove.run(layer);
      caches.delete(layer);
      rmSync(cachePath(layer), { force: true });
    },
    save,
    [Symbol.dispose]: save,
  };
}
