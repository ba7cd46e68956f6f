import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import { tryLockFile } from '../../host/system/lock.ts';
import { openContentStore } from '../../store/content/content-store.ts';
import { openImageStore } from '../../store/content/images.ts';
import { openDatabase } from '../../store/database.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { layerRecords } from '../../store/snapshot/layer-records.ts';
import { type Digest, hexOf } from '../../wire/oci/digest.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from '../../wire/oci/media-types.ts';
import { UsageError } from './errors.ts';
import { runDu } from './run-du.ts';
import { runImages } from './run-images.ts';
import { prunePolicy, runPrune } from './run-prune.ts';
import { runRmi } from './run-rmi.ts';

const HOUR = 3_600_000;
const NOW = Date.UTC(2030, 0, 2);
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const temporary = mkdtempSync(join(tmpdir(), 'outcrop-commands-'));
after(() => rmSync(temporary, { recursive: true }));

const CACHED = '1234'.repeat(8);

interface Root {
  readonly place: string;
  readonly ids: Readonly<Record<'app' | 'index', Digest>>;
  readonly layer: Digest;
}

/** A root with `app:1.0` and `app:latest` (one image), an index `multi:1`, a layer of the cache, and a cache mount. */
async function makeRoot(): Promise<Root> {
  const place = mkdtempSync(join(temporary, 'root-'));
  using database = openDatabase(place);
  const content = openContentStore(rootLayout(place).content);
  const images = openImageStore(database);
  const put = async (value: unknown) => content.write(Buffer.from(JSON.stringify(value)));
  const layer = await content.write(Buffer.from('layer'));
  const manifestOf = async (created: string) => {
    const config = await put({ architecture: 'amd64', os: 'linux', created, rootfs: { type: 'layers', diff_ids: [] } });
    const manifest = await put({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, ...config },
      layers: [{ mediaType: LAYER, ...layer }],
    });
    return { config, manifest: { mediaType: OCI_MANIFEST, ...manifest } };
  };
  const app = await manifestOf('2030-01-01T23:00:00Z');
  const other = await manifestOf('2029-12-31T00:00:00Z');
  const index = await put({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [other.manifest] });
  images.put('docker.io/library/app:1.0', app.manifest);
  images.put('docker.io/library/app:latest', app.manifest);
  images.put('registry.example.org/multi:1', { mediaType: OCI_INDEX, ...index });
  layerRecords(database).add({
    id: CACHED,
    parents: [],
    isUnpacked: true,
    hides: false,
    createdAt: BigInt(NOW - 30 * HOUR) * 1_000_000n,
    lastUsedAt: NOW - 30 * HOUR,
  });
  const files = join(place, 'layers', CACHED, 'fs');
  mkdirSync(files, { recursive: true });
  writeFileSync(join(files, 'big'), 'x'.repeat(1_000_000));
  const mount = join(rootLayout(place).cacheMounts, 'ab'.repeat(32));
  mkdirSync(join(mount, '0', 'data'), { recursive: true });
  writeFileSync(join(mount, 'id'), '/root/.cache');
  return { place, ids: { app: app.config.digest, index: index.digest }, layer: layer.digest };
}

function terminal() {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const text = (stream: PassThrough) => {
    let all = '';
    for (let part = stream.read(); part !== null; part = stream.read()) all += String(part);
    return all;
  };
  return { streams: { stdin, stdout, stderr }, out: () => text(stdout), err: () => text(stderr) };
}

const images = { trunc: true } as const;

test('images are listed newest first', async () => {
  const { place, ids } = await makeRoot();
  const short = (digest: Digest) => hexOf(digest).slice(0, 12);
  const table = await runImages(undefined, images, place, NOW);
  assert.equal(
    table.replace(/ \d+B\n/g, ' SIZE\n'),
    `REPOSITORY                   TAG      IMAGE ID       CREATED             SIZE
app                          1.0      ${short(ids.app)}   About an hour ago   SIZE
app                          latest   ${short(ids.app)}   About an hour ago   SIZE
registry.example.org/multi   1        ${short(ids.index)}   2 days ago          SIZE
`,
  );
  assert.equal(await runImages('app', { ...images, names: true }, place), 'app:1.0\napp:latest\n');
  assert.equal(await runImages('app:1.0', { ...images, names: true }, place), 'app:1.0\n');
  assert.equal(await runImages(undefined, { trunc: false, quiet: true }, place), `${ids.app}\n${ids.index}\n`);
  const [first = ''] = (await runImages(undefined, { ...images, json: true }, place)).split('\n');
  assert.equal(JSON.parse(first).created, '2030-01-01T23:00:00.000Z');
  assert.match(await runImages(undefined, { ...images, digests: true }, place), /^REPOSITORY +TAG +DIGEST +IMAGE ID/);
});

test('where nothing was built there is nothing, and nothing is made', async () => {
  const place = join(temporary, 'never');
  assert.equal(await runImages(undefined, images, place), 'REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n');
  assert.match(await runDu({ filter: [] }, place), /^ID +RECLAIMABLE .*\nReclaimable: +0B\nTotal: +0B\n$/);
  const { streams, out } = terminal();
  assert.equal(await runPrune({ filter: [], force: true }, streams, place), 0);
  assert.equal(out(), 'Total:          0B\n');
  assert.equal(existsSync(place), false);
});

test('names and ids are removed, with what only they need', async () => {
  const { place, ids, layer } = await makeRoot();
  const blobs = () => openContentStore(rootLayout(place).content).list().length;
  const before = blobs();
  const first = terminal();
  assert.equal(await runRmi(['app:1.0'], { prune: true }, first.streams, place), 0);
  assert.equal(first.out(), 'Untagged: app:1.0\n');
  assert.equal(blobs(), before);
  const second = terminal();
  assert.equal(await runRmi([hexOf(ids.app).slice(0, 12)], { prune: true }, second.streams, place), 0);
  assert.match(second.out(), /^Untagged: app:latest\nDeleted: sha256:[0-9a-f]{64}\nDeleted: sha256:[0-9a-f]{64}\n$/);
  assert.equal(blobs(), before - 2);
  // The layer is the index's too.
  assert.ok(openContentStore(rootLayout(place).content).has(layer));
});

test('what cannot be removed is named, the rest is removed', async () => {
  const { place, ids } = await makeRoot();
  const { streams, out, err } = terminal();
  assert.equal(await runRmi(['appp', 'app'], { prune: true }, streams, place), 1);
  assert.equal(out(), 'Untagged: app:latest\n');
  assert.equal(err(), 'ERROR: no such image: appp (did you mean app?)\n');
  const untagged = terminal();
  assert.equal(await runRmi(['app'], { prune: true }, untagged.streams, place), 1);
  assert.equal(untagged.err(), 'ERROR: no such image: app:latest; there is app:1.0\n');
  const again = terminal();
  assert.equal(await runRmi(['gone'], { prune: true, force: true }, again.streams, place), 0);
  assert.equal(again.err(), '');
  const twice = terminal();
  const other = await makeRoot();
  assert.equal(await runRmi([ids.app], { prune: true }, twice.streams, other.place), 1);
  assert.match(twice.err(), /has 2 names: app:1\.0, app:latest; give a name, or --force/);
  assert.equal(await runRmi([ids.app], { prune: true, force: true }, twice.streams, other.place), 0);
});

test('while a build runs blobs stay', async () => {
  const { place } = await makeRoot();
  using _build = tryLockFile(join(place, 'lock'), 'shared');
  const { streams, out, err } = terminal();
  assert.equal(await runRmi(['registry.example.org/multi:1'], { prune: true }, streams, place), 0);
  assert.equal(out(), 'Untagged: registry.example.org/multi:1\n');
  assert.match(err(), /stay until `outcrop prune`/);
});

test('du tells what takes space', async () => {
  const { place } = await makeRoot();
  const lines = (await runDu({ filter: [] }, place, NOW)).split('\n');
  assert.deepEqual(lines[0]?.split(/ {2,}/), ['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED', 'WHAT']);
  assert.match(lines[1] ?? '', /^(1234){6}1 +true +1\.0\d+MB +30 hours ago +layer of a step$/);
  assert.match(lines[2] ?? '', /^cache-abababababababab-0\* +true .* ago +cache mount \/root\/\.cache$/);
  assert.match(lines.slice(3).join('\n'), /^Reclaimable: +1\.0\d+MB\nTotal: +1\.0\d+MB\nImages: +/);
  const verbose = await runDu({ filter: ['mutable'], verbose: true }, place, NOW);
  assert.match(verbose, /^ID: {13}cache-abababababababab-0\nCreated at: .*\nMutable: +true\n/);
  const [json = ''] = (await runDu({ filter: ['until=24h', 'type=regular'], json: true }, place, NOW)).split('\n');
  assert.equal(JSON.parse(json).lastUsedAt, new Date(NOW - 30 * HOUR).toISOString());
  await assert.rejects(runDu({ filter: ['colour=red'] }, place), /--filter colour=red: unknown field "colour"/);
  await assert.rejects(runDu({ filter: ['until=soon'] }, place), /--filter until=soon: .*expected a duration/);
});

test('prune removes and says how much', async () => {
  const { place } = await makeRoot();
  const { streams, out } = terminal();
  assert.equal(await runPrune({ filter: ['type=exec.cachemount'], force: true }, streams, place), 0);
  assert.match(out(), /^ID .*\ncache-abababababababab-0\* .*\nTotal: +[\d.]+kB\n$/);
  assert.equal(await runPrune({ filter: [], force: true, maxUsedSpace: '2mb' }, streams, place), 0);
  assert.equal(out(), 'Total:          0B\n');
  assert.equal(await runPrune({ filter: [], force: true, all: true }, streams, place), 0);
  assert.match(out(), /layer of a step\nTotal: +1\.0\d+MB\n$/);
  assert.match(await runDu({ filter: [] }, place), /Total: +0B\n/);
  assert.match(await runImages(undefined, images, place), /app +latest/);
});

test('prune asks first, and waits for builds', async () => {
  const { place } = await makeRoot();
  const silent = terminal();
  await assert.rejects(runPrune({ filter: [] }, silent.streams, place), /give --force/);
  for (const [answer, code] of [
    ['n', 1],
    ['', 1],
    ['y', 0],
  ] as const) {
    const { streams } = terminal();
    Object.assign(streams.stdin, { isTTY: true });
    streams.stdin.write(`${answer}\n`);
    assert.equal(await runPrune({ filter: ['type=internal'] }, streams, place), code);
  }
  const build = tryLockFile(join(place, 'lock'), 'shared');
  const { streams, err } = terminal();
  const pruning = runPrune({ filter: [], force: true }, streams, place);
  setTimeout(() => build?.[Symbol.dispose](), 700);
  assert.equal(await pruning, 0);
  assert.equal(err(), 'Waiting for running builds to end…\n');
});

test('flags of prune', () => {
  assert.deepEqual(prunePolicy({ filter: ['until=24h'], all: true, keepStorage: '1gb', maxUsedSpace: '10gb' }), {
    all: true,
    unusedFor: 24 * HOUR,
    reservedSpace: 1024 ** 3,
    maxUsedSpace: 10 * 1024 ** 3,
  });
  assert.throws(() => prunePolicy({ filter: [], minFreeSpace: 'much' }), UsageError);
});
