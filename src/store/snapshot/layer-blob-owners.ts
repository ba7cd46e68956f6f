import type { Digest } from '../../wire/oci/digest.ts';
import type { Database } from '../database.ts';
import type { LayerID, LayerRecord } from './layer-records.ts';

/** The digests of each layer's blobs: the one that it came as, and those that it was made into. */
export function layerBlobOwners(database: Database, layers: readonly LayerRecord[]): Map<LayerID, Set<Digest>> {
  const owned = new Map<LayerID, Set<Digest>>();
  for (const { id, origin } of layers) owned.set(id, new Set(origin === undefined ? [] : [origin.digest]));
  for (const row of database.sql.prepare('SELECT layer, digest FROM layer_blobs').all()) {
    owned.get(String(row['layer']))?.add(String(row['digest']) as Digest);
  }
  return owned;
}
