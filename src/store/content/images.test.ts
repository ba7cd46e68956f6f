import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { openDatabase } from '../database.ts';
import { openImageStore } from './images.ts';

test('names are given, moved, listed and taken away', () => {
  const root = mkdtempSync(join(tmpdir(), 'outcrop-images-'));
  try {
    using database = openDatabase(root);
    let time = 1;
    const images = openImageStore(database, () => time);
    const first = {
      mediaType: OCI_MANIFEST,
      digest: digestOf('1'),
      size: 1,
      platform: { os: 'linux', architecture: 'arm64' },
    };
    const second = { mediaType: OCI_INDEX, digest: digestOf('2'), size: 2 };
    assert.equal(images.get('docker.io/library/b:latest'), undefined);
    images.put('docker.io/library/b:latest', first);
    images.put('docker.io/library/a:latest', second);
    assert.deepEqual(images.get('docker.io/library/b:latest')?.target, first);
    time = 5;
    const moved = images.put('docker.io/library/b:latest', second);
    assert.deepEqual(moved, { name: 'docker.io/library/b:latest', target: second, createdAt: 1, updatedAt: 5 });
    assert.deepEqual(
      images.list().map(image => image.name),
      ['docker.io/library/a:latest', 'docker.io/library/b:latest'],
    );
    assert.ok(images.delete('docker.io/library/a:latest'));
    assert.ok(!images.delete('docker.io/library/a:latest'));
    assert.equal(images.list().length, 1);
    const third = digestOf('3');
    assert.ok(images.isIn('docker.io/library/b', second.digest));
    assert.ok(!images.isIn('docker.io/library/b', third));
    assert.ok(!images.isIn('docker.io/library/bb', second.digest));
    images.noteIn('docker.io/library/c', third);
    images.noteIn('docker.io/library/c', third);
    assert.ok(images.isIn('docker.io/library/c', third));
    assert.ok(!images.isIn('docker.io/library/c', second.digest));
    images.noteIn('docker.io/library/c', second.digest);
    images.forgetOrigins(digest => digest !== third);
    assert.ok(!images.isIn('docker.io/library/c', third));
    assert.ok(images.isIn('docker.io/library/c', second.digest));
  } finally {
    rmSync(root, { recursive: true });
  }
});
