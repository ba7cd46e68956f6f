import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../database.ts';
import { contentChecksums } from './checksum.ts';
import { snapshotContents } from './checksum-snapshots.ts';
import { directoryTree } from './file-tree-directory.ts';

test('what was computed of layers is kept', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-snapshots-'));
  const layerPath = (layer: string) => join(scratch.path, 'layers', layer);
  for (const [layer, text] of Object.entries({ one: 'a', two: 'b' })) {
    mkdirSync(join(layerPath(layer), 'd'), { recursive: true });
    writeFileSync(join(layerPath(layer), 'd', layer), text);
    writeFileSync(join(layerPath(layer), 'd/both'), text);
  }
  const directory = join(scratch.path, 'checksums');
  using database = openDatabase(scratch.path);
  const digests: string[] = [];
  {
    using contents = snapshotContents({ layerPath, directory, database });
    const both = contents.open(['one', 'two']);
    assert.equal(contents.open(['one', 'two']), both);
    digests.push(await both.checksum('/d'), await both.checksum('/', { include: ['d/both'] }));
    assert.equal((await both.examine('/d/one')).entries().length, 1);
    const alone = contents.open(['two']);
    assert.equal(
      await alone.checksum('/'),
      await contentChecksums(directoryTree(layerPath('two')), { view: 'scan' }).checksum('/'),
    );
    await assert.rejects(alone.checksum('/d/one'), { kind: 'not-found' });
  }
  assert.ok(existsSync(join(directory, 'layer-one')));
  using contents = snapshotContents({ layerPath, directory, database });
  const both = contents.open(['one', 'two']);
  // The contents are gone, so this is from memory.
  rmSync(join(layerPath('one'), 'd'), { recursive: true });
  assert.deepEqual([await both.checksum('/d'), await both.checksum('/', { include: ['d/both'] })], digests);
  assert.deepEqual((await both.examine('/d')).entries(), []);
  contents.forget('two');
  contents.forget('one');
  assert.ok(!existsSync(join(directory, 'layer-one')));
  assert.notEqual(await contents.open(['one', 'two']).checksum('/d'), digests[0]);
});

test('what is known of a layer is written down and let go when its trees were not asked for for long', async () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-snapshots-'));
  const layerPath = (layer: string) => join(scratch.path, 'layers', layer);
  const layers = Array.from({ length: 40 }, (_, index) => `layer${index}`);
  for (const layer of ['base', ...layers]) {
    mkdirSync(layerPath(layer), { recursive: true });
    writeFileSync(join(layerPath(layer), layer), layer);
  }
  const directory = join(scratch.path, 'checksums');
  using database = openDatabase(scratch.path);
  using contents = snapshotContents({ layerPath, directory, database });
  const digests: string[] = [];
  for (const layer of layers) digests.push(await contents.open(['base', layer]).checksum('/', {}));
  assert.ok(existsSync(join(directory, 'layer-layer0')));
  assert.ok(!existsSync(join(directory, 'layer-layer39')), 'still open');
  assert.ok(!existsSync(join(directory, 'layer-base')), 'others need it');
  assert.equal(await contents.open(['base', 'layer0']).checksum('/', {}), digests[0]);
});
