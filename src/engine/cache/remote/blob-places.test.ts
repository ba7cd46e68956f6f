import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openContentStore } from '../../../store/content/content-store.ts';
import { openDatabase } from '../../../store/database.ts';
import { hexOf } from '../../../wire/oci/digest.ts';
import { blobPlaces } from './blob-places.ts';
import { CacheLayerError } from './lost-layer.ts';

const root = mkdtempSync(join(tmpdir(), 'outcrop-places-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('directories are remembered, also by another process, as long as they hold the blob; of others only the name', async () => {
  using database = openDatabase(join(root, 'state'));
  const directory = join(root, 'cache');
  const { digest, size } = await openContentStore(directory).write(Buffer.from('bytes'));
  const gone = `sha256:${'0'.repeat(64)}` as const;
  const blob = { mediaType: '', digest, size };
  blobPlaces(database).remember('/cache', directory, [blob, { ...blob, digest: gone }]);
  const places = blobPlaces(database);
  const bytes: Buffer[] = [];
  for await (const chunk of places.fetchOf(digest)?.(AbortSignal.timeout(1000)) ?? []) bytes.push(Buffer.from(chunk));
  assert.equal(Buffer.concat(bytes).toString(), 'bytes');
  // Damage is found out while reading, and then the place is forgotten.
  writeFileSync(join(directory, 'blobs/sha256', hexOf(digest)), 'other');
  const damaged = places.fetchOf(digest);
  await assert.rejects(async () => {
    for await (const _ of damaged?.(AbortSignal.timeout(1000)) ?? []);
  }, CacheLayerError);
  assert.equal(places.fetchOf(digest), undefined);
  assert.equal(places.fetchOf(gone), undefined);
  assert.equal(places.sourceOf(gone), '/cache');
  places.remember('registry.example/a', undefined, [blob]);
  assert.equal(places.fetchOf(digest), undefined);
  assert.equal(places.sourceOf(digest), 'registry.example/a');
});
