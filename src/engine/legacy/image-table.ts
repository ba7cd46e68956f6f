import type { Database } from '../../store/database.ts';
import { type Digest, isDigest } from '../../wire/oci/digest.ts';
import type { LayerID } from '../ops/ref.ts';
import type { LegacyImage } from './image.ts';

/**
 * The images that the legacy builder knows: those that its steps made, which are its cache, and those that they stand on.
 * An image has a parent if a step made it, or if it was found to continue another.
 */
export interface ImageTable {
  get(id: Digest): LegacyImage | undefined;
  /** The only image whose id begins so; undefined for none or several. */
  findByPrefix(hex: string): LegacyImage | undefined;
  /**
   * Keeps an image; one that is there gets the layers, the rest stays.
   * @param key The digest of the config of its step's container, for what steps of this root made.
   */
  put(image: LegacyImage, origin: { readonly parent: Digest | undefined; readonly key: Digest | undefined }): void;
  /** What steps of this root made on a parent, or on `scratch`, with a container config of this digest; youngest first. */
  findSteps(parent: Digest | undefined, key: Digest): LegacyImage[];
  parentOf(id: Digest): Digest | undefined;
  setParent(id: Digest, parent: Digest): void;
  /** An image and those that it was made of, youngest first. */
  chain(id: Digest): LegacyImage[];
  /** Forgets images with layers that are not there any more. */
  forget(isKnown: (layer: LayerID) => boolean): void;
}

const STEPS = [
  `CREATE TABLE legacy_images (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    parent TEXT,
    key TEXT,
    config TEXT NOT NULL,
    layers TEXT NOT NULL
  ) STRICT;
  CREATE INDEX legacy_images_step ON legacy_images (key, parent);`,
];

/** The images of a store root. Throws DatabaseError. */
export function openImageTable(database: Database): ImageTable {
  database.migrate('legacy', STEPS);
  const { sql } = database;
  const select = sql.prepare('SELECT * FROM legacy_images WHERE id = ?');
  const selectPrefix = sql.prepare('SELECT * FROM legacy_images WHERE id >= ? AND id < ? LIMIT 2');
  const selectSteps = sql.prepare('SELECT * FROM legacy_images WHERE key = ? AND parent IS ? ORDER BY number DESC');
  const selectLayers = sql.prepare('SELECT number, layers FROM legacy_images');
  const insert = sql.prepare(
    `INSERT INTO legacy_images (id, parent, key, config, layers) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET layers = excluded.layers`,
  );
  const update = sql.prepare('UPDATE legacy_images SET parent = ? WHERE id = ?');
  const remove = sql.prepare('DELETE FROM legacy_images WHERE number = ?');

  const parentOf = (id: Digest): Digest | undefined => {
    const parent = select.get(id)?.['parent'];
    return typeof parent === 'string' ? digest(parent) : undefined;
  };

  const table: ImageTable = {
    get(id) {
      const row = select.get(id);
      return row && imageOf(row);
    },
    findByPrefix(hex) {
      const rows = selectPrefix.all(`sha256:${hex}`, `sha256:${hex}g`);
      const [row] = rows;
      return rows.length === 1 && row !== undefined ? imageOf(row) : undefined;
    },
    put({ id, text, layers }, { parent, key }) {
      insert.run(id, parent ?? null, key ?? null, text, JSON.stringify(layers));
    },
    findSteps: (parent, key) => selectSteps.all(key, parent ?? null).map(imageOf),
    parentOf,
    setParent: (id, parent) => void update.run(parent, id),
    chain(id) {
      const images: LegacyImage[] = [];
      const seen = new Set<Digest>();
      for (let next: Digest | undefined = id; next !== undefined && !seen.has(next); next = parentOf(next)) {
        seen.add(next);
        const image = table.get(next);
        if (image !== undefined) images.push(image);
      }
      return images;
    },
    forget(isKnown) {
      const gone = selectLayers.all().filter(row => !layersOf(row).every(isKnown));
      if (gone.length === 0) return;
      database.transaction(() => {
        for (const row of gone) remove.run(Number(row['number']));
      });
    },
  };
  return table;
}

type Row = Readonly<Record<string, unknown>>;

function imageOf(row: Row): LegacyImage {
  return { id: digest(String(row['id'])), text: String(row['config']), layers: layersOf(row) };
}

function layersOf(row: Row): LayerID[] {
  return JSON.parse(String(row['layers'])) as LayerID[];
}

function digest(text: string): Digest {
  if (!isDigest(text)) throw new TypeError(`the table of legacy images has a bad id: ${text}`);
  return text;
}
