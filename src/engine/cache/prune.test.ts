import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openContentStore } from '../../store/content/content-store.ts';
import { openImageStore } from '../../store/content/images.ts';
import { openDatabase } from '../../store/database.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { type LayerRecord, layerRecords } from '../../store/snapshot/layer-records.ts';
import { openLayerStore } from '../../store/snapshot/layer-store.ts';
import { OCI_CONFIG, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { recordDigest } from '../solver/key.ts';
import { type CacheStores, collectUsage, DamagedImageError } from './collect-usage.ts';
import { pruneCache } from './prune.ts';
import { openRemovalLog } from './removals.ts';
import { sqliteKeyStore } from './sqlite-key-store.ts';
import { usageTotals } from './usage.ts';

const HOUR = 3_600_000;
const NOW = Date.UTC(2030, 0, 1);
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const signal = AbortSignal.timeout(60_000);
const temporary = mkdtempSync(join(tmpdir(), 'outcrop-prune-'));
after(() => rmSync(temporary, { recursive: true }));

/**
 * A root with a pulled layer `base`, `made` on it (`RUN make`), `tested` on that, a named image of both `base` and `made`
 * whose blobs are there, a cache mount, a git repository, and a blob that nothing needs.
 */
async function root(): Promise<CacheStores> {
  const place = mkdtempSync(join(temporary, 'root-'));
  const directories = rootLayout(place);
  const database = openDatabase(place);
  const content = openContentStore(directories.content);
  const images = openImageStore(database);
  const layers = openLayerStore({ root: place, content, database });
  const records = layerRecords(database);
  const baseBlob = await content.write(Buffer.from('base'.repeat(100)));
  const madeBlob = await content.write(Buffer.from('made'.repeat(200)));
  const testedBlob = await content.write(Buffer.from('tested'.repeat(300)));
  const add = (id: string, lastUsedAt: number, about: Partial<LayerRecord>) => {
    records.add({
      id,
      parents: [],
      isUnpacked: true,
      hides: true,
      createdAt: BigInt(NOW) * 1_000_000n,
      lastUsedAt,
      ...about,
    });
    mkdirSync(layers.path(id), { recursive: true });
    writeFileSync(join(layers.path(id), 'file'), 'x'.repeat(5000));
  };
  const origin = { mediaType: LAYER, ...baseBlob };
  add('base', NOW - 90 * HOUR, { origin, diffID: baseBlob.digest });
  add('made', NOW - 80 * HOUR, { parents: ['base'], diffID: madeBlob.digest });
  add('tested', NOW - 30 * HOUR, { parents: ['base', 'made'] });
  add('other', NOW - 2 * HOUR, {});
  records.addBlob('made', 'gzip', { ...madeBlob, diffID: madeBlob.digest });
  records.addBlob('tested', 'gzip', { ...testedBlob, diffID: testedBlob.digest });
  const config = await content.write(
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        created: '2029-12-31T00:00:00Z',
        rootfs: { type: 'layers', diff_ids: [baseBlob.digest, madeBlob.digest] },
      }),
    ),
  );
  const manifest = await content.write(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: { mediaType: OCI_CONFIG, ...config },
        layers: [origin, { mediaType: LAYER, ...madeBlob }],
      }),
    ),
  );
  images.put('docker.io/library/app:latest', { mediaType: OCI_MANIFEST, ...manifest });
  await content.write(Buffer.from('nobody needs this'));

  const mount = join(directories.cacheMounts, 'ab'.repeat(32));
  mkdirSync(join(mount, '0', 'data'), { recursive: true });
  writeFileSync(join(mount, '0', 'data', 'pkg'), 'p'.repeat(9000));
  writeFileSync(join(mount, 'id'), '/root/.npm');
  mkdirSync(join(directories.git, 'cd'.repeat(32)), { recursive: true });
  writeFileSync(join(directories.git, `${'cd'.repeat(32)}.lock`), '');

  const keys = sqliteKeyStore(database);
  keys.saveParts('sha256:make', () => [{ kind: 'args', name: '', value: '/bin/sh -c make' }]);
  keys.saveParts('sha256:test', () => [{ kind: 'args', name: '', value: '/bin/sh -c make test' }]);
  keys.addLink('from', { input: 0, output: 0, digest: 'sha256:make', selector: '' }, 'key-made');
  keys.addResult('key-made', { id: 'base,made', createdAt: 1n });
  keys.addLink('key-made', { input: 0, output: 0, digest: 'sha256:test', selector: '' }, 'key-tested');
  keys.addResult('key-tested', { id: 'base,made,tested', createdAt: 1n });
  keys.addResult('key-gone', { id: 'never', createdAt: 1n });
  const layersOf = (id: string) => (id === 'never' ? undefined : id.split(','));
  return { database, content, images, layers, directories, layersOf };
}

test('usage tells what takes space, and which step made it', async () => {
  const stores = await root();
  const usage = await collectUsage(stores, signal);
  const told = usage.records.map(({ id, type, description, shared, parents }) => ({
    id,
    type,
    description,
    shared,
    parents,
  }));
  assert.deepEqual(
    told.slice(0, 4).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    [
      {
        id: 'base',
        type: 'regular',
        description: `pulled layer ${stores.layers.get('base')?.origin?.digest}`,
        shared: true,
        parents: [],
      },
      { id: 'made', type: 'regular', description: 'RUN make', shared: true, parents: ['base'] },
      { id: 'other', type: 'regular', description: 'layer of a step', shared: false, parents: [] },
      { id: 'tested', type: 'regular', description: 'RUN make test', shared: false, parents: ['base', 'made'] },
    ],
  );
  assert.deepEqual(told.slice(4), [
    {
      id: 'cache-abababababababab-0',
      type: 'exec.cachemount',
      description: 'cache mount /root/.npm',
      shared: false,
      parents: [],
    },
    {
      id: 'git-cdcdcdcdcdcdcdcd',
      type: 'source.git.checkout',
      description: 'shared git repository',
      shared: false,
      parents: [],
    },
  ]);
  const sizes = new Map(usage.records.map(({ id, size }) => [id, size]));
  // The blobs of the image are the image's; that of the other layer goes with the layer.
  assert.equal(sizes.get('made'), 4096 + 8192);
  assert.equal(sizes.get('tested'), 4096 + 8192 + 1800);
  const lastUses = new Map(usage.records.map(({ id, lastUsedAt }) => [id, lastUsedAt]));
  assert.equal(lastUses.get('base'), NOW - 30 * HOUR);
  assert.equal(usage.unreferenced.size, 'nobody needs this'.length);
  assert.equal(usage.images.names, 1);
  const totals = usageTotals(usage.records);
  assert.equal(totals.total, totals.shared + totals.private);
});

test('pruning removes what images do not need, and remembers it', async () => {
  const stores = await root();
  const before = stores.content.list().length;
  const seen: string[] = [];
  const policy = { all: false };
  const report = await pruneCache(stores, policy, signal, { now: () => NOW, onRemoved: ({ id }) => seen.push(id) });
  assert.deepEqual(seen.toSorted(), ['cache-abababababababab-0', 'git-cdcdcdcdcdcdcdcd', 'other', 'tested']);
  assert.deepEqual(
    report.removed.map(({ id }) => id),
    seen,
  );
  assert.equal(
    report.reclaimed,
    report.removed.reduce((sum, { size }) => sum + size, report.unreferenced.size),
  );
  assert.deepEqual(
    stores.layers
      .list()
      .map(({ id }) => id)
      .toSorted(),
    ['base', 'made'],
  );
  assert.equal(existsSync(stores.layers.path('tested')), false);
  assert.equal(existsSync(stores.layers.path('made')), true);
  assert.equal(existsSync(join(stores.directories.cacheMounts, 'ab'.repeat(32))), false);
  assert.equal(existsSync(join(stores.directories.git, `${'cd'.repeat(32)}.lock`)), false);
  // The blob that nobody needed, and that of the layer that went.
  assert.equal(stores.content.list().length, before - 2);
  const keys = sqliteKeyStore(stores.database);
  assert.deepEqual(keys.keysOf('base,made'), ['key-made']);
  assert.deepEqual(keys.keysOf('base,made,tested'), []);
  assert.deepEqual(keys.keysOf('never'), []);
  const log = openRemovalLog(stores.database);
  for (const name of ['tested', 'base,made,tested', 'key-tested', 'sha256:test', recordDigest('sha256:test', 0)]) {
    const removal = log.find([name]);
    assert.equal(removal?.description, 'RUN make test', name);
    assert.equal(removal?.rule, 'prune');
    assert.equal(removal?.removedAt, NOW);
    assert.equal(removal?.lastUsedAt, NOW - 30 * HOUR);
  }
  assert.equal(log.find(['sha256:make', 'key-made']), undefined);
});

test('pruning all keeps only the blobs of images', async () => {
  const stores = await root();
  await pruneCache(stores, { all: true }, signal, { now: () => NOW });
  assert.deepEqual(stores.layers.list(), []);
  assert.equal(stores.content.list().length, 4);
  assert.equal(stores.images.list().length, 1);
  assert.deepEqual((await collectUsage(stores, signal)).records, []);
  const again = await pruneCache(stores, { all: true }, signal, { now: () => NOW });
  assert.equal(again.reclaimed, 0);
});

test('by age, and the newest removal is the one that is told', async () => {
  const stores = await root();
  await pruneCache(stores, { all: false, unusedFor: 24 * HOUR }, signal, { now: () => NOW });
  assert.deepEqual(
    stores.layers
      .list()
      .map(({ id }) => id)
      .toSorted(),
    ['base', 'made', 'other'],
  );
  const log = openRemovalLog(stores.database);
  assert.equal(log.find(['tested'])?.rule, 'prune, unused for 24 h');
  await pruneCache(stores, { all: true }, signal, { now: () => NOW + HOUR });
  assert.equal(log.find(['tested', 'other'])?.rule, 'prune --all');
  log.forget(NOW + 2 * HOUR);
  assert.equal(log.find(['tested']), undefined);
});

test('an image that cannot be read is named, and nothing is removed', async () => {
  const stores = await root();
  const target = stores.images.get('docker.io/library/app:latest')?.target;
  assert.ok(target);
  writeFileSync(stores.content.path(target.digest), '{');
  await assert.rejects(pruneCache(stores, { all: true }, signal), {
    name: DamagedImageError.name,
    message: /docker\.io\/library\/app:latest is damaged/,
  });
  assert.equal(stores.layers.list().length, 4);
});
