import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openContentStore } from '../../store/content/content-store.ts';
import { openImageStore } from '../../store/content/images.ts';
import { openDatabase } from '../../store/database.ts';
import { scratch } from '../ops/ref.ts';
import { pathTarget } from './export-target.ts';
import { createExporter, type ExportRequest } from './exporter.ts';
import type { BuildOutput } from './result.ts';

const signal = new AbortController().signal;
const CREATED = 'org.opencontainers.image.created';

/** Exports an empty image as a layout; returns the answers and the layout's only entry. */
async function exported(attributes: Record<string, string>, more: Partial<BuildOutput> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'outcrop-exporter-'));
  using cleanup = new DisposableStack();
  cleanup.defer(() => rmSync(root, { recursive: true }));
  const database = cleanup.use(openDatabase(root));
  const dest = join(root, 'layout');
  const request: ExportRequest = {
    type: 'oci',
    attributes: { tar: 'false', ...attributes },
    target: pathTarget(dest),
  };
  const exporter = createExporter(request, {
    content: openContentStore(join(root, 'content')),
    images: openImageStore(database),
    layers: { blobs: async () => [], fetch: async () => {}, finder: async () => () => undefined },
    registryFor: () => assert.fail('no registry is asked'),
    repositoryOf: () => undefined,
    open: () => assert.fail('no files are read'),
    loadIntoEngine: undefined,
    now: () => 1_000_000_000_000n,
  });
  const platform = { os: 'linux', architecture: 'amd64' };
  const output = {
    platforms: [{ id: 'linux/amd64', platform, ref: scratch, attestations: [] }],
    multiPlatform: true,
    annotations: {},
    ...more,
  };
  const progress = { step: <T>(_: string, work: (advance: () => void) => Promise<T>) => work(() => {}) };
  const answers = await exporter.export(output, progress, signal);
  const { manifests } = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8'));
  return { answers, entry: manifests[0] as { readonly annotations: Readonly<Record<string, string>> } };
}

test('an output may leave the name to the frontend', async () => {
  const named = await exported({ name: '*' }, { imageName: 'from-frontend:1' });
  assert.equal(named.answers['image.name'], 'docker.io/library/from-frontend:1');
  const own = await exported({ name: 'own:2' }, { imageName: 'from-frontend:1' });
  assert.equal(own.answers['image.name'], 'docker.io/library/own:2');
  await assert.rejects(exported({ name: '*' }), /invalid reference format/);
});

test('an output may bring the config of the image', async () => {
  const config = { architecture: 'amd64', os: 'linux', config: { Env: ['A=B'] } };
  const plain = await exported({});
  const own = await exported({ 'containerimage.config': JSON.stringify(config) });
  const platform = await exported({ 'containerimage.config/linux/amd64': JSON.stringify(config) });
  const other = await exported({ 'containerimage.config/linux/arm64': JSON.stringify(config) });
  const digests = [plain, own, platform, other].map(({ answers }) => answers['containerimage.digest']);
  assert.notEqual(digests[1], digests[0]);
  assert.deepEqual(digests.slice(2), [digests[1], digests[0]]);
});

test('an archive says when it was made, unless its annotations do', async () => {
  const { entry } = await exported({});
  assert.equal(entry.annotations[CREATED], '1970-01-01T00:16:40Z');
  const own = await exported({ [`annotation-index-descriptor.${CREATED}`]: '2022-01-23T12:34:56Z' });
  assert.equal(own.entry.annotations[CREATED], '2022-01-23T12:34:56Z');
});
