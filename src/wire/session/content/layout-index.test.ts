import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { workDirectory } from '../../../../test/support/work-directory.ts';
import { digestOf } from '../../oci/digest.ts';
import { OCI_MANIFEST } from '../../oci/media-types.ts';
import { enterIntoLayout, findInLayout } from './layout-index.ts';

test('images and caches are entered into a layout and found by name and tag', async () => {
  const directory = join(workDirectory('layout'), 'layout');
  const { signal } = new AbortController();
  const descriptor = (text: string) => ({ mediaType: OCI_MANIFEST, digest: digestOf(text), size: text.length });
  assert.equal(await findInLayout(directory, 'latest'), undefined);

  const names = ['docker.io/library/a:1', 'docker.io/library/b:1'].map(image => ({ image }));
  await enterIntoLayout(directory, { ...descriptor('one'), annotations: { created: 'now' } }, names, signal);
  await enterIntoLayout(directory, descriptor('cache'), [{ tag: '1' }], signal);
  await enterIntoLayout(directory, descriptor('other'), [], signal);
  await enterIntoLayout(directory, descriptor('two'), [{ image: 'docker.io/library/a:1' }], signal);

  const found = async (name: string) => (await findInLayout(directory, name))?.digest;
  assert.equal(await found('docker.io/library/a:1'), digestOf('two'));
  assert.equal(await found('docker.io/library/b:1'), digestOf('one'));
  assert.equal(await found('latest'), digestOf('other'));
  const { manifests } = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  assert.deepEqual(
    manifests.map((m: { annotations: object }) => m.annotations),
    [
      {
        created: 'now',
        'io.containerd.image.name': 'docker.io/library/b:1',
        'org.opencontainers.image.ref.name': '1',
      },
      { 'org.opencontainers.image.ref.name': '1' },
      { 'org.opencontainers.image.ref.name': 'latest' },
      { 'io.containerd.image.name': 'docker.io/library/a:1', 'org.opencontainers.image.ref.name': '1' },
    ],
  );
  assert.equal(readFileSync(join(directory, 'oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}');
});
