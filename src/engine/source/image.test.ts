import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type DirectoryLayers, directoryLayers } from '../../../test/support/directory-layers.ts';
import { startDockerRegistry, type TestRegistry } from '../../../test/support/docker-registry.ts';
import { type ContentStore, openContentStore } from '../../store/content/content-store.ts';
import { type ImageStore, openImageStore } from '../../store/content/images.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import type { Descriptor } from '../../wire/oci/descriptor.ts';
import { digestOf, hexOf } from '../../wire/oci/digest.ts';
import { parseManifest } from '../../wire/oci/manifest.ts';
import { DOCKER_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { parsePlatform } from '../../wire/oci/platform.ts';
import { parseReference } from '../../wire/oci/reference.ts';
import { createRegistryClient, type RegistryClient } from '../../wire/registry/client.ts';
import { RegistryError } from '../../wire/registry/registry-error.ts';
import type { BuildEvent } from '../status/event.ts';
import { directoryLayouts, parseOciLayoutReference, resolveOciLayout } from './oci-layout.ts';
import type { ResolveMode } from './registry-images.ts';
import { createSources, type Sources } from './sources.ts';

const LAYOUT = new URL('../../../test/vectors/base-image', import.meta.url).pathname;
const signal = new AbortController().signal;
const amd64 = parsePlatform('linux/amd64');
let root: string;
let server: TestRegistry;
let registry: RegistryClient;
let database: Database;
let content: ContentStore;
let images: ImageStore;
let layers: DirectoryLayers;
let sources: Sources;
const events: BuildEvent[] = [];

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'outcrop-image-'));
  server = await startDockerRegistry();
  registry = createRegistryClient({ retry: { attempts: 1 } });
  for (const tag of ['latest', 'layer']) await push(tag);
  database = openDatabase(root);
  layers = directoryLayers(join(root, 'layers'));
  open('first');
});

after(async () => {
  await registry[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  database[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

/** A fresh content store, and the sources of a new build. */
function open(name: string): void {
  content = openContentStore(join(root, name));
  images = openImageStore(database);
  renew();
}

function renew(): void {
  sources = createSources({
    root,
    database,
    content,
    images,
    layers,
    registry,
    ociLayouts: directoryLayouts(new Map([['store', LAYOUT]])),
    secrets: { get: async () => undefined },
    ssh: { socket: async () => undefined },
    emit: event => events.push(event),
    now: () => 0n,
    local: () => {
      throw new Error('not asked for here');
    },
  });
}

const name = (tag: string) => `${server.host}/base:${tag}`;
const blob = (digest: string) => readFileSync(join(LAYOUT, 'blobs', 'sha256', digest.slice('sha256:'.length)));
const source = (bytes: Uint8Array, mediaType = OCI_LAYER) => ({
  descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
  async *open(offset: number) {
    yield bytes.subarray(offset);
  },
});

async function push(tag: string): Promise<void> {
  const digest = await resolveOciLayout({ path: LAYOUT, tag });
  const bytes = blob(digest);
  const parsed = parseManifest(bytes);
  assert.ok(parsed.kind === 'manifest');
  const reference = parseReference(name(tag));
  for (const { digest: part } of [parsed.manifest.config, ...parsed.manifest.layers]) {
    await registry.pushBlob(reference, source(blob(part)), {}, signal);
  }
  await registry.pushManifest(reference, bytes, parsed.mediaType, signal);
}

function op(identifier: string, attrs: Record<string, string> = {}) {
  const vertex = { digest: 'sha256:vertex', name: '', inputs: [], ignoreCache: false };
  return sources.open({ vertex, identifier, attrs, platform: amd64 });
}

async function read(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('an image of a registry has two keys and lazy layers', async () => {
  open('lazy');
  const image = op(`docker-image://${name('layer')}`);
  const first = await image.cacheMap(0, signal);
  const second = await image.cacheMap(1, signal);
  assert.deepEqual([first.done, second.done], [false, true]);
  assert.notEqual(first.map.digest, second.map.digest);
  const [ref] = await image.exec([], signal);
  assert.ok(ref?.kind === 'snapshot');
  assert.equal(ref.layers.length, 2);
  const [base] = [...layers.lazy.values()];
  assert.ok(base !== undefined);
  assert.ok(!content.has(base.descriptor.digest), 'nothing is pulled before it is read');
  assert.equal(digestOf(await read(base.fetch(signal))), base.descriptor.digest);
  const ids = new Set(events.flatMap(event => (event.kind === 'status' ? [event.id] : [])));
  assert.deepEqual(ids, new Set([`resolve ${name('layer')}`, base.descriptor.digest]));
});

test('layers alone make the second key', async () => {
  const withLayer = await op(`docker-image://${name('layer')}`, { 'image.layerlimit': '1' }).cacheMap(1, signal);
  const without = await op(`docker-image://${name('latest')}`).cacheMap(1, signal);
  assert.equal(withLayer.map.digest, without.map.digest);
});

test('a checksum and a limit are held against the image', async () => {
  const at = (attrs: Record<string, string>) => op(`docker-image://${name('latest')}`, attrs).cacheMap(0, signal);
  await assert.rejects(at({ 'image.checksum': digestOf('x') }), /does not match expected checksum/);
  await assert.rejects(
    at({ 'image.layerlimit': '9' }),
    /layer limit 9 is greater than the number of layers in the image 1/,
  );
  assert.throws(() => at({ 'image.resolvemode': 'sometimes' }), /invalid resolvemode: sometimes/);
});

test('what is pinned and known needs no registry', async () => {
  open('pinned');
  const { digest, config } = await sources.imageConfig(
    { ref: name('latest'), platform: amd64, resolveMode: 'default' },
    signal,
  );
  assert.equal(JSON.parse(Buffer.from(config).toString()).architecture, 'amd64');
  const client = registry;
  registry = { ...client, resolve: () => assert.fail('the registry is not asked') };
  renew();
  await op(`docker-image://${name('latest')}@${digest}`).cacheMap(0, signal);
  registry = client;
  renew();
  const elsewhere = op(`docker-image://127.0.0.1:1/base:latest@${digest}`);
  await assert.rejects(elsewhere.cacheMap(0, signal), RegistryError, 'what another repository has is not had for that');
});

test('images of this machine: first, instead of a registry that fails, or never', async () => {
  open('local');
  const local = 'docker.io/library/mine:latest';
  const missing = '127.0.0.1:1/mine:latest';
  const bytes = blob(await resolveOciLayout({ path: LAYOUT, tag: 'latest' }));
  const parsed = parseManifest(bytes);
  assert.ok(parsed.kind === 'manifest');
  await content.write(bytes);
  await content.write(blob(parsed.manifest.config.digest));
  const target = { mediaType: parsed.mediaType, digest: digestOf(bytes), size: bytes.length };
  for (const known of [local, missing, name('layer')]) images.put(known, target);
  const ask = async (ref: string, resolveMode: ResolveMode) =>
    (await sources.imageConfig({ ref, platform: amd64, resolveMode }, signal)).digest;
  assert.equal(await ask('mine', 'local'), target.digest);
  assert.equal(await ask(missing, 'default'), target.digest);
  await assert.rejects(ask(missing, 'pull'), RegistryError);
  assert.equal(await ask(name('layer'), 'local'), target.digest);
  assert.notEqual(await ask(name('layer'), 'default'), target.digest);
});

test('an index gives the image of the platform', async () => {
  const reference = parseReference(`${server.host}/multi:v1`);
  const manifests: Descriptor[] = [];
  for (const platform of ['linux/arm64', 'linux/amd64']) {
    const { os, architecture } = parsePlatform(platform);
    const config = source(
      Buffer.from(JSON.stringify({ os, architecture, rootfs: { type: 'layers', diff_ids: [] } })),
      DOCKER_CONFIG,
    );
    await registry.pushBlob(reference, config, {}, signal);
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: config.descriptor, layers: [] }),
    );
    const pushed = await registry.pushManifest(
      { domain: reference.domain, path: reference.path },
      bytes,
      OCI_MANIFEST,
      signal,
    );
    manifests.push({ ...pushed, platform: { os, architecture } });
  }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  const { digest } = await registry.pushManifest(reference, index, OCI_INDEX, signal);
  const ask = (platform: string) =>
    sources.imageConfig(
      { ref: `${server.host}/multi:v1`, platform: parsePlatform(platform), resolveMode: 'default' },
      signal,
    );
  for (const architecture of ['amd64', 'arm64']) {
    const answer = await ask(`linux/${architecture}`);
    assert.equal(answer.digest, digest, 'the digest is that of the index');
    assert.equal(JSON.parse(Buffer.from(answer.config).toString()).architecture, architecture);
  }
  await assert.rejects(ask('linux/s390x'), /no match for platform linux\/s390x in manifest sha256:/);
  const [ref] = await op(`docker-image://${server.host}/multi:v1`).exec([], signal);
  assert.deepEqual(ref, { kind: 'snapshot', layers: [] });
});

test('an OCI layout is as good as a registry', async () => {
  const digest = await resolveOciLayout(parseOciLayoutReference(`oci-layout://${LAYOUT}:layer`));
  const attrs = { 'oci.session': 'S', 'oci.store': 'store' };
  const image = op(`oci-layout://docker.io/library/base@${digest}`, attrs);
  const fromRegistry = op(`docker-image://${name('layer')}`);
  for (const index of [0, 1]) {
    assert.equal(
      (await image.cacheMap(index, signal)).map.digest,
      (await fromRegistry.cacheMap(index, signal)).map.digest,
    );
  }
  const [ref] = await image.exec([], signal);
  assert.ok(ref?.kind === 'snapshot' && ref.layers.length === 2);
  const unknown = op(`oci-layout://docker.io/library/base@${digest}`, { 'oci.store': 'other' });
  await assert.rejects(unknown.cacheMap(0, signal), /unknown store other/);
  const absent = op(`oci-layout://docker.io/library/base@${digestOf('x')}`, attrs);
  await assert.rejects(absent.cacheMap(0, signal), /has no blob sha256:/);
});

test('references to OCI layouts', async () => {
  const digest = digestOf('x');
  assert.deepEqual(parseOciLayoutReference('oci-layout:///a/b'), { path: '/a/b' });
  assert.deepEqual(parseOciLayoutReference('/a:b/c'), { path: '/a:b/c' });
  assert.deepEqual(parseOciLayoutReference(`./d:v1@${digest}`), { path: './d', tag: 'v1', digest });
  assert.throws(() => parseOciLayoutReference('/a@sha256:1'), /invalid digest/);
  assert.equal(await resolveOciLayout({ path: LAYOUT, digest }), digest);
  await assert.rejects(
    resolveOciLayout({ path: LAYOUT, tag: 'v9' }),
    /has no image tagged v9, it has latest, label, env, layer/,
  );
  await assert.rejects(resolveOciLayout({ path: '/nowhere' }), /is no OCI layout/);
});

test('a blob becomes a file', async () => {
  const bytes = Buffer.from('the blob');
  const reference = parseReference(`${server.host}/base`);
  await registry.pushBlob(reference, source(bytes), {}, signal);
  const digest = digestOf(bytes);
  const [ref] = await op(`docker-image+blob://${server.host}/base@${digest}`).exec([], signal);
  assert.ok(ref?.kind === 'snapshot');
  assert.deepEqual(readFileSync(join(layers.path(ref.layers[0] ?? ''), hexOf(digest))), bytes);
  const config = blob(await resolveOciLayout({ path: LAYOUT, tag: 'latest' }));
  const layout = op(`oci-layout+blob://a.b/c@${digestOf(config)}`, { 'oci.store': 'store', 'http.filename': 'm.json' });
  const [manifest] = await layout.exec([], signal);
  assert.ok(manifest?.kind === 'snapshot');
  assert.deepEqual(readFileSync(join(layers.path(manifest.layers[0] ?? ''), 'm.json')), config);
});
