import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { openContentStore } from '../content/content-store.ts';
import { openDatabase } from '../database.ts';
import { openLayerStore } from './layer-store.ts';
import { describeTree, layOut } from './tree-fixture.ts';

const signal = new AbortController().signal;
const isRoot = process.getuid?.() === 0;

function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}

test('umoci and skopeo read what we write', { skip: isRoot ? false : 'needs root to mount' }, async () => {
  enterPrivateMountNamespace();
  using place = mkdtempDisposableSync(join(tmpdir(), 'outcrop-interop-'));
  const content = openContentStore(join(place.path, 'content'));
  using database = openDatabase(place.path);
  await using layers = openLayerStore({ root: place.path, content, database });
  const step = async (parents: readonly string[], work: (path: string) => void): Promise<string> => {
    await using active = await layers.prepare(parents, signal);
    work(await active.mount(signal));
    return await active.commit(signal);
  };
  const long = 'n'.repeat(150);
  const one = await step([], path =>
    layOut(path, {
      d: { type: 'dir', mode: '0750', uid: 3, gid: 4, mtime: 1000 },
      'd/a': { type: 'file', content: 'a', mode: '4711', uid: 3_000_000, mtime: 1000 },
      'd/b': { type: 'hardlink', target: 'd/a' },
      [`d/${long}`]: { type: 'file', content: 'long', mode: '0644', mtime: 1000 },
      'd/ü': { type: 'symlink', target: 'a', mtime: 1000 },
      gone: { type: 'dir', mode: '0755', mtime: 1000 },
      'gone/deep': { type: 'file', content: 'x', mode: '0644', mtime: 1000 },
      again: { type: 'dir', mode: '0755', mtime: 1000 },
      'again/old': { type: 'file', content: 'x', mode: '0644', mtime: 1000 },
    }),
  );
  const two = await step([one], path => {
    rmSync(join(path, 'gone'), { recursive: true });
    rmSync(join(path, 'again'), { recursive: true });
    mkdirSync(join(path, 'again'));
    writeFileSync(join(path, 'again/new'), Buffer.alloc(2 << 20, 'new'));
    layOut(path, {
      cap: {
        type: 'file',
        content: 'y',
        mode: '0755',
        mtime: 1,
        xattrs: { 'security.capability': 'AQAAAgAEAAAAAAAAAAAAAAAAAAA=' },
      },
    });
  });

  const put = async (mediaType: string, document: object): Promise<Descriptor> => {
    const { digest, size } = await content.write(Buffer.from(JSON.stringify(document)));
    return { mediaType, digest, size };
  };
  await using view = await layers.view([one, two], signal);
  const expected = describeTree(view.path);
  for (const type of ['gzip', 'zstd', 'uncompressed'] as const) {
    const blobs = [];
    for (const id of [one, two]) {
      blobs.push(await layers.toBlob(id, { compression: { type, force: false }, family: 'oci' }, signal));
    }
    const config = await put(OCI_CONFIG, {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: blobs.map(blob => blob.diffID) },
    });
    const manifest = await put(OCI_MANIFEST, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config,
      layers: blobs.map(blob => blob.descriptor),
    });
    const manifests = [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }];
    writeFileSync(
      join(content.root, 'index.json'),
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }),
    );
    // Copying makes skopeo check every digest and decompress: umoci does not know zstd.
    const copy = join(place.path, `copy-${type}`);
    run('skopeo', [
      '--insecure-policy',
      'copy',
      '-q',
      '--dest-decompress',
      `oci:${content.root}:latest`,
      `dir:${copy}`,
    ]);
    const layout = join(place.path, `layout-${type}`);
    run('skopeo', ['--insecure-policy', 'copy', '-q', `dir:${copy}`, `oci:${layout}:latest`]);
    const bundle = join(place.path, `bundle-${type}`);
    run('umoci', ['unpack', '--image', `${layout}:latest`, bundle]);
    const unpacked = describeTree(join(bundle, 'rootfs'));
    assert.deepEqual(timeless(unpacked), timeless(expected), type);
  }
});

/** Without what a tar does not say: parts of a second, and times of directories that others make things in. */
function timeless(lines: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(lines).map(([path, line]) => [
      path,
      line.replace(/^(\S+ \S+ )(\d+)\.\d+/, line.startsWith('4') ? '$1' : '$1$2'),
    ]),
  );
}
