import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startDockerRegistry, type TestRegistry } from '../../../../test/support/docker-registry.ts';
import type { Digest } from '../../../wire/oci/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../../wire/oci/media-types.ts';
import type { Ref } from '../../ops/ref.ts';
import { type CacheKey, idIn, recordDigest } from '../../solver/key.ts';
import { findRecords, loadRecord } from '../../solver/lookup.ts';
import { openCacheExports } from './export.ts';
import { countingRegistry, type FakeMachine, fakeMachine } from './fake-build.ts';
import { openCacheImports, type RemoteImport } from './import.ts';
import { CacheLayerError, retryWithoutLostLayers } from './lost-layer.ts';

const signal = AbortSignal.timeout(120_000);
const root = mkdtempSync(join(tmpdir(), 'outcrop-cache-'));
after(() => rmSync(root, { recursive: true, force: true }));
const directory = () => mkdtempSync(join(root, 'cache-'));

/** A builder stage of two steps, and a final stage that copies from it and runs one more step. */
function twoStages(machine: FakeMachine, variant = '', make: 'step' | 'key' = 'step') {
  const base = machine.root('base');
  const first = machine[make]('first', [base]);
  const builder = machine[make](`builder${variant}`, [first]);
  const copy = machine[make]('copy', [base, builder], 'the same bytes');
  const last = machine[make]('last', [copy]);
  return { first, builder, copy, last };
}

async function exportTo(machine: FakeMachine, type: string, attributes: Record<string, string>, key: CacheKey<Ref>) {
  const answer = await openCacheExports([{ type, attributes }], machine.deps).run([key], signal);
  const manifest = answer['cache.manifest'];
  return manifest === undefined ? undefined : (JSON.parse(manifest) as { digest: Digest; mediaType: string });
}

function importFrom(machine: FakeMachine, type: string, attributes: Record<string, string>): RemoteImport {
  const [source] = openCacheImports([{ type, attributes }], machine.deps, signal);
  assert(source !== undefined);
  return source;
}

/** Looks a step up as the solver does, and loads its result. */
async function hit(machine: FakeMachine, source: RemoteImport, key: CacheKey<Ref>) {
  const cache = await source.cache;
  if (cache === undefined) return undefined;
  const caches = { local: machine.local, imports: [cache] };
  idIn(cache.keys, key);
  key.records = findRecords(caches, key);
  for (const record of key.records) {
    const result = await loadRecord(caches, record, signal).catch(() => undefined);
    if (result === undefined) continue;
    key.record = record;
    return result;
  }
  return undefined;
}

async function bytesOf(machine: FakeMachine, ref: Ref | undefined): Promise<string[]> {
  assert(ref?.kind === 'snapshot');
  const texts: string[] = [];
  for (const id of ref.layers) {
    let text = '';
    for await (const chunk of machine.lazy.get(id)?.fetch(signal) ?? []) text += Buffer.from(chunk).toString();
    texts.push(text);
  }
  return texts;
}

const names = ['first', 'builder', 'copy', 'last'] as const;
type Hits = Record<(typeof names)[number], boolean>;

async function hits(machine: FakeMachine, source: RemoteImport, variant = ''): Promise<Hits> {
  const keys = twoStages(machine, variant, 'key');
  const found: Hits = { first: false, builder: false, copy: false, last: false };
  for (const name of names) found[name] = (await hit(machine, source, keys[name])) !== undefined;
  return found;
}

describe('a directory', () => {
  test('gives back all steps of mode=max, and those of the final stage of mode=min', async () => {
    for (const mode of ['min', 'max']) {
      const dest = directory();
      const from = fakeMachine();
      await exportTo(from, 'local', { dest, mode }, twoStages(from).last);
      const to = fakeMachine();
      const source = importFrom(to, 'local', { src: dest });
      const isMax = mode === 'max';
      assert.deepEqual(await hits(to, source), { first: isMax, builder: isMax, copy: true, last: true });
      const { last } = twoStages(to, '', 'key');
      assert.deepEqual(await bytesOf(to, await hit(to, source, last)), ['layer of copy', 'layer of last']);
      assert.deepEqual(to.complaints(), []);
      const { builder } = twoStages(to, '', 'key');
      assert.equal(source.knows(recordDigest(builder.digest, 0)), isMax ? 'result' : 'key');
      assert.equal(source.knows(recordDigest(last.digest, 0)), 'result');
      assert.equal(source.knows(recordDigest(to.root('base').digest, 0)), undefined);
    }
  });

  test('keeps to the layout that clients of BuildKit read', async () => {
    const dest = directory();
    const machine = fakeMachine();
    const written = await exportTo(machine, 'local', { dest, tag: 'v1' }, twoStages(machine).last);
    assert.deepEqual(
      readdirSync(dest).filter(name => !name.endsWith('.lock')),
      ['blobs', 'index.json', 'ingest', 'oci-layout'],
    );
    assert.equal(readFileSync(join(dest, 'oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}');
    const index = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8'));
    assert.deepEqual(index.manifests, [{ ...written, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }]);
    for (const name of readdirSync(join(dest, 'blobs/sha256'))) {
      assert.equal(statSync(join(dest, 'blobs/sha256', name)).mode & 0o777, 0o444);
    }
    assert.deepEqual(
      machine.statuses().map(id => id.replace(/sha256:.*/, 'DIGEST')),
      [
        'preparing build cache for export',
        'sending cache export',
        'writing layer DIGEST',
        'writing layer DIGEST',
        'writing config DIGEST',
        'writing cache image manifest DIGEST',
      ],
    );
  });

  test('keeps entries of other tags; reset=true deletes what none of them reaches', async () => {
    const dest = directory();
    const blobs = () => readdirSync(join(dest, 'blobs/sha256')).length;
    const one = fakeMachine();
    await exportTo(one, 'local', { dest, tag: 'one' }, one.step('a', [one.root('base')]));
    const both = blobs();
    const two = fakeMachine();
    await exportTo(two, 'local', { dest, tag: 'two' }, two.step('b', [two.root('base')]));
    assert.equal(blobs(), 2 * both);
    await exportTo(two, 'local', { dest, tag: 'two', reset: 'true' }, two.step('c', [two.root('base')]));
    assert.equal(blobs(), 2 * both);
    for (const [tag, name] of [
      ['one', 'a'],
      ['two', 'c'],
    ] as const) {
      const to = fakeMachine();
      const source = importFrom(to, 'local', { src: dest, tag });
      assert(await hit(to, source, to.key(name, [to.root('base')])));
    }
  });

  test('is replaced by an export, which says what is lost; merge=true keeps both', async () => {
    const dest = directory();
    const one = fakeMachine();
    await exportTo(one, 'local', { dest, mode: 'max' }, twoStages(one, ' A').last);
    const two = fakeMachine();
    await exportTo(two, 'local', { dest, mode: 'max' }, two.step('other', [two.root('base')]));
    assert.match(two.statuses().join(), /replacing sha256:\S+: 4 records lost that merge=true would keep/);
    const three = fakeMachine();
    await exportTo(three, 'local', { dest, mode: 'max', merge: 'true' }, twoStages(three, ' B').last);
    const to = fakeMachine();
    const source = importFrom(to, 'local', { src: dest });
    assert.deepEqual(await hits(to, source, ' B'), { first: true, builder: true, copy: true, last: true });
    assert(await hit(to, source, to.key('other', [to.root('base')])));
  });

  test('takes merges from ten builds at once and keeps all', async () => {
    const dest = directory();
    const builds = Array.from({ length: 10 }, (_, index) => {
      const machine = fakeMachine();
      return exportTo(machine, 'local', { dest, merge: 'true' }, machine.step(`step ${index}`, [machine.root('base')]));
    });
    await Promise.all(builds);
    const to = fakeMachine();
    const source = importFrom(to, 'local', { src: dest });
    for (const index of builds.keys()) assert(await hit(to, source, to.key(`step ${index}`, [to.root('base')])));
  });

  test('with nothing to keep is not written', async () => {
    const dest = directory();
    const machine = fakeMachine();
    assert.equal(await exportTo(machine, 'local', { dest }, machine.root('base')), undefined);
    assert(machine.statuses().includes('skipping cache export for empty result'));
  });

  test('that is broken in five ways is a warning, and the steps run', async () => {
    const dest = directory();
    const from = fakeMachine();
    await exportTo(from, 'local', { dest }, twoStages(from).last);
    const lower = [...from.blobs].find(([, bytes]) => bytes.toString() === 'layer of copy')?.[0] ?? '';
    const path = join(dest, 'blobs/sha256', lower.slice(7));
    const good = readFileSync(path);

    const attempt = async () => {
      const to = fakeMachine();
      const source = importFrom(to, 'local', { src: dest });
      const { last } = twoStages(to, '', 'key');
      return { to, source, last, result: await hit(to, source, last) };
    };
    truncateSync(path, 3);
    const short = await attempt();
    assert.equal(short.result, undefined);
    assert.match(
      short.to.complaints().join(),
      new RegExp(`^layer ${lower} of the cache local:\\d+ cannot be had: not found`),
    );

    rmSync(path);
    assert.equal((await attempt()).result, undefined);

    // Damage that no look at the directory shows is found when the bytes come.
    writeFileSync(path, Buffer.from(good).fill('x', 0, 1));
    const damaged = await attempt();
    await assert.rejects(bytesOf(damaged.to, damaged.result), (error: unknown) => {
      assert(error instanceof CacheLayerError);
      return /damaged: its bytes have the digest/.test(error.message);
    });
    assert.equal(await hit(damaged.to, damaged.source, twoStages(damaged.to, '', 'key').last), undefined);

    // A build that fails of it is tried once more, without it.
    const tried: boolean[] = [];
    await retryWithoutLostLayers(async lost => {
      const to = fakeMachine();
      const [source] = openCacheImports([{ type: 'local', attributes: { src: dest } }], { ...to.deps, lost }, signal);
      const { last } = twoStages(to, '', 'key');
      const result = source && (await hit(to, source, last));
      tried.push(result !== undefined);
      if (result !== undefined) await bytesOf(to, result);
    });
    assert.deepEqual(tried, [true, false]);

    writeFileSync(join(dest, 'index.json'), '{');
    const index = await attempt();
    assert.match(index.to.complaints().join(), /skipped due to err: could not read .*index\.json/);
    rmSync(dest, { recursive: true });
    assert.match((await attempt()).to.complaints().join(), /open .*index\.json: no such file or directory/);
  });
});

test('min is min, whatever was exported or imported before', async () => {
  const dest = directory();
  const machine = fakeMachine();
  const { last } = twoStages(machine);
  const before = await exportTo(machine, 'local', { dest, tag: 'min' }, last);
  await exportTo(machine, 'local', { dest, tag: 'max', mode: 'max' }, last);
  assert.equal((await exportTo(machine, 'local', { dest, tag: 'min' }, last))?.digest, before?.digest);
});

test('six variants of a builder stage leave as many records as one', async () => {
  const dest = directory();
  const machine = fakeMachine();
  const sizes: number[] = [];
  for (let variant = 0; variant < 6; variant++) {
    const { last } = twoStages(machine, ` ${variant}`);
    await exportTo(machine, 'local', { dest, mode: 'max' }, last);
    const to = fakeMachine();
    const source = importFrom(to, 'local', { src: dest });
    assert.deepEqual(await hits(to, source, ` ${variant}`), { first: true, builder: true, copy: true, last: true });
    const manifest = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')).manifests[0];
    sizes.push(manifest.size);
  }
  assert.equal(new Set(sizes).size, 1);
});

describe('a registry', () => {
  let server: TestRegistry;
  before(async () => {
    server = await startDockerRegistry();
  });
  after(() => server[Symbol.asyncDispose]());
  const refOf = (name: string) => `${server.host}/cache/${name}`;

  for (const [form, attributes, mediaType] of [
    ['image manifests', {}, OCI_MANIFEST],
    ['indexes', { 'image-manifest': 'false' }, OCI_INDEX],
    ['manifest lists', { 'oci-mediatypes': 'false' }, 'application/vnd.docker.distribution.manifest.list.v2+json'],
  ] as const) {
    test(`takes and gives ${form}; an export with nothing new sends nothing`, async () => {
      const { registry, sent } = countingRegistry();
      await using _ = registry;
      const ref = refOf(form.replace(' ', '-'));
      const from = fakeMachine(registry);
      const { last } = twoStages(from);
      const first = await exportTo(from, 'registry', { ref, mode: 'max', ...attributes }, last);
      assert.equal(first?.mediaType, mediaType);
      assert.equal(sent.splice(0).length, 6);
      const again = await exportTo(from, 'registry', { ref, mode: 'max', ...attributes }, last);
      assert.equal(again?.digest, first?.digest);
      assert.deepEqual(sent, []);

      const to = fakeMachine(registry);
      const source = importFrom(to, 'registry', { ref });
      assert.deepEqual(await hits(to, source), { first: true, builder: true, copy: true, last: true });
      assert.equal(to.blobs.size, 0);
      assert.deepEqual(to.complaints(), []);
      assert(to.statuses().includes(`inferred cache manifest type: ${mediaType}`));
    });
  }

  test('gives the same digest when what was imported is exported again, there and elsewhere', async () => {
    const { registry, sent } = countingRegistry();
    await using _ = registry;
    const ref = refOf('again');
    const from = fakeMachine(registry);
    const first = await exportTo(from, 'registry', { ref, mode: 'max' }, twoStages(from).last);
    sent.splice(0);
    const to = fakeMachine(registry);
    const source = importFrom(to, 'registry', { ref });
    const keys = twoStages(to, '', 'key');
    for (const name of names) assert(await hit(to, source, keys[name]));
    assert.equal((await exportTo(to, 'registry', { ref, mode: 'max' }, keys.last))?.digest, first?.digest);
    assert.deepEqual(sent, []);
    assert.equal(to.blobs.size, 0);
    // In a directory the layers have to be, and so they are fetched.
    const dest = directory();
    assert.equal((await exportTo(to, 'local', { dest, mode: 'max' }, keys.last))?.digest, first?.digest);
    // The local store knows the layers, too: without the import nothing changes.
    for (const name of names) {
      keys[name].records = [];
      const [record] = findRecords({ local: to.local, imports: [] }, keys[name]);
      assert(record !== undefined);
      keys[name].record = record;
    }
    assert.equal((await exportTo(to, 'registry', { ref, mode: 'max' }, keys.last))?.digest, first?.digest);
    assert.deepEqual(sent, []);
  });

  test('that lost a layer is a miss with its reason, found out before the hit', async () => {
    const { registry } = countingRegistry();
    await using _ = registry;
    const ref = refOf('lost');
    const from = fakeMachine(registry);
    await exportTo(from, 'registry', { ref, mode: 'max' }, twoStages(from).last);
    const lost = [...from.blobs].find(([, bytes]) => bytes.toString() === 'layer of copy')?.[0] ?? '';
    const answer = await fetch(`http://${server.host}/v2/cache/lost/blobs/${lost}`, { method: 'DELETE' });
    assert.equal(answer.status, 202);
    const to = fakeMachine(registry);
    const source = importFrom(to, 'registry', { ref });
    assert.deepEqual(await hits(to, source), { first: true, builder: true, copy: false, last: false });
    assert.deepEqual(to.complaints(), [
      `layer ${lost} of the cache ${ref} cannot be had: not found; the steps that need it run again`,
    ]);
    // The next export mends it.
    await exportTo(from, 'registry', { ref, mode: 'max' }, twoStages(from).last);
    const mended = fakeMachine(registry);
    assert.deepEqual(await hits(mended, importFrom(mended, 'registry', { ref })), {
      first: true,
      builder: true,
      copy: true,
      last: true,
    });
  });

  test('whose tag moves in the middle of an import is read as it was at first', async () => {
    const { registry } = countingRegistry();
    await using _ = registry;
    const ref = refOf('moving');
    const from = fakeMachine(registry);
    await exportTo(from, 'registry', { ref, mode: 'max' }, twoStages(from).last);
    let moved = false;
    const moving = fakeMachine({
      ...registry,
      async manifest(reference, descriptor, inner) {
        if (!moved) {
          moved = true;
          const other = fakeMachine(registry);
          await exportTo(other, 'registry', { ref }, other.step('other', [other.root('base')]));
        }
        return registry.manifest(reference, descriptor, inner);
      },
    });
    const source = importFrom(moving, 'registry', { ref });
    assert.deepEqual(await hits(moving, source), { first: true, builder: true, copy: true, last: true });
    assert(moved);
  });

  test('keeps the records of two merges at once', async () => {
    const { registry } = countingRegistry();
    await using _ = registry;
    const ref = refOf('merge');
    const [one, two] = [fakeMachine(registry), fakeMachine(registry)];
    await exportTo(one, 'registry', { ref, merge: 'true' }, one.step('one', [one.root('base')]));
    await exportTo(two, 'registry', { ref, merge: 'true' }, two.step('two', [two.root('base')]));
    const to = fakeMachine(registry);
    const source = importFrom(to, 'registry', { ref });
    for (const name of ['one', 'two']) assert(await hit(to, source, to.key(name, [to.root('base')])));
  });

  test('that has nothing under the name, is down, or is silent: a reason each, and no cache', async () => {
    const { registry } = countingRegistry();
    await using _ = registry;
    const cases = [
      [refOf('nothing'), fakeMachine(registry), /^failed to configure registry cache importer: \S+: not found$/],
      ['127.0.0.1:1/a', fakeMachine(registry), /^failed to configure registry cache importer: cannot reach .* refused/],
    ] as const;
    for (const [ref, machine, reason] of cases) {
      assert.equal(await importFrom(machine, 'registry', { ref }).cache, undefined);
      assert.match(machine.complaints().join(), reason);
    }
    const silent = fakeMachine({
      ...registry,
      resolve: (_reference, inner) =>
        new Promise((_done, fail) => inner.addEventListener('abort', () => fail(inner.reason))),
    });
    const [source] = openCacheImports(
      [{ type: 'registry', attributes: { ref: refOf('silent') } }],
      { ...silent.deps, patience: 20 },
      signal,
    );
    assert.equal(await source?.cache, undefined);
    assert.match(silent.complaints().join(), /it was not read within 0.02 s/);
  });

  test('that is down fails the export, unless ignore-error=true', async () => {
    const { registry } = countingRegistry();
    await using _ = registry;
    const machine = fakeMachine(registry);
    const { last } = twoStages(machine);
    const ref = '127.0.0.1:1/a';
    await assert.rejects(
      exportTo(machine, 'registry', { ref }, last),
      /^RemoteCacheError: error writing layer blob: cannot reach/,
    );
    assert.equal(await exportTo(machine, 'registry', { ref, 'ignore-error': 'true' }, last), undefined);
  });
});

test('results that are older than max-age are not used', async () => {
  const dest = directory();
  const from = fakeMachine();
  await exportTo(from, 'local', { dest }, twoStages(from).last);
  const to = fakeMachine();
  const week = 7n * 24n * 3600n * 1_000_000_000n;
  const later = { ...to, deps: { ...to.deps, now: () => from.deps.now() + week } };
  const [old] = openCacheImports([{ type: 'local', attributes: { src: dest, 'max-age': '6d' } }], later.deps, signal);
  const [fresh] = openCacheImports([{ type: 'local', attributes: { src: dest, 'max-age': '8d' } }], later.deps, signal);
  assert(old !== undefined && fresh !== undefined);
  assert.equal((await hits(to, old)).last, false);
  assert.equal((await hits(to, fresh)).last, true);
  assert.match(to.complaints().join(), /^2 results are older than max-age allows/);
});
