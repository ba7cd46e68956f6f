/** The cases of the catalogue about caches that travel: each is built, recognised by its id, and explained. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { runWhy } from '../../src/entry/cli/run-why.ts';
import { hasRegistry, startRegistry } from '../support/registry.ts';
import { idsOf, type Scenario, says, scenario, type WhyStep } from './scenario.ts';

const DAY = 86_400_000;
const STAGES = `FROM base AS build
COPY a.txt /
RUN cat /a.txt > /out.txt
FROM base
COPY --from=build /out.txt /first
`;

const exportTo = (it: Scenario, name: string, more = '') => [
  '--cache-to',
  `type=local,dest=${join(it.dir, name)}${more}`,
];
const importFrom = (it: Scenario, name: string) => ['--cache-from', `type=local,src=${join(it.dir, name)}`];
const digestOf = (it: Scenario, name: string): string => {
  const index = JSON.parse(readFileSync(join(it.dir, name, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  return index.manifests[0]?.digest ?? '';
};
const fresh = (it: Scenario, name: string) => join(it.dir, `root-${name}`);

suite('the catalogue of caches that travel', { concurrency: 2 }, () => {
  test('stale-import: a hit from an old export says from where and how old it is', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    const root = fresh(it, 'b');
    assert.deepEqual((await it.build({ root, flags: importFrom(it, 'cache') })).ran, []);
    const told = JSON.parse(runWhy(['first'], { json: true }, root, Date.now() + 12 * DAY)) as { steps: WhyStep[] };
    assert.deepEqual(idsOf(told.steps), ['stale-import']);
    assert.deepEqual(idsOf(await it.why('first', root)), []);
  });

  test('mode-min: the key came along and the result did not', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=min') });
    const root = fresh(it, 'b');
    it.write('Dockerfile', STAGES.replace('/first', '/second'));
    await it.build({ root, flags: importFrom(it, 'cache') });
    const [step] = await it.why('cat /a.txt', root);
    assert.match(says(step).join(), /knows it but holds no result: it was exported without/);
    assert.deepEqual(idsOf([step as WhyStep]), ['mode-min']);
  });

  test('what stands on a changed step: the cache holds it as made from other inputs, and nothing is lost', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    const root = fresh(it, 'b');
    it.write('a.txt', 'changed\n');
    await it.build({ root, flags: importFrom(it, 'cache') });
    const [step] = await it.why('cat /a.txt', root);
    assert.match(says(step).join(), /holds a result of it that was made from other inputs/);
    assert.deepEqual(idsOf([step as WhyStep]), []);
  });

  test('not-exported: a later export to one place replaced the records', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    it.write('Dockerfile', 'FROM base\nRUN echo other\n');
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    it.write('Dockerfile', STAGES);
    const root = fresh(it, 'b');
    await it.build({ root, flags: importFrom(it, 'cache') });
    const [step] = await it.why('cat /a.txt', root);
    assert.match(says(step).join(), /no cache that was given knows it/);
    assert.deepEqual(idsOf([step as WhyStep]), ['not-exported']);
  });

  test('not-exported: merge=true keeps both', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    it.write('Dockerfile', 'FROM base\nRUN echo other\n');
    await it.build({ flags: exportTo(it, 'cache', ',mode=max,merge=true') });
    it.write('Dockerfile', STAGES);
    assert.deepEqual((await it.build({ root: fresh(it, 'b'), flags: importFrom(it, 'cache') })).ran, []);
  });

  test('min-by-history: mode=min after mode=max is min', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'max', ',mode=max') });
    await it.build({ flags: exportTo(it, 'min', ',mode=min') });
    const root = fresh(it, 'other');
    await it.build({ root, flags: exportTo(it, 'min-first', ',mode=min') });
    const layers = (name: string) => readdirSync(join(it.dir, name, 'blobs/sha256')).length;
    assert.equal(layers('min'), layers('min-first'));
    assert.ok(layers('min') < layers('max'));
  });

  test('export-digest-moves: exporting again what was imported changes nothing', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    const root = fresh(it, 'b');
    await it.build({ root, flags: [...importFrom(it, 'cache'), ...exportTo(it, 'again', ',mode=max')] });
    assert.equal(digestOf(it, 'again'), digestOf(it, 'cache'));
  });

  test('export-grows: only what a build can use is exported', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    const sizes: number[] = [];
    for (const version of [1, 2, 3, 4]) {
      it.write('Dockerfile', STAGES.replace('cat /a.txt', `true ${version}; cat /a.txt`));
      const name = `cache-${version}`;
      await it.build({ flags: exportTo(it, name, ',mode=max') });
      sizes.push(readdirSync(join(it.dir, name, 'blobs/sha256')).length);
    }
    assert.equal(new Set(sizes).size, 1, `blobs by build: ${sizes}`);
  });

  test('broken-local-cache: a missing layer is a warning, the steps run, and the root stays sound', async () => {
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    await it.build({ flags: exportTo(it, 'cache', ',mode=max') });
    const blobs = join(it.dir, 'cache', 'blobs/sha256');
    const [largest = ''] = readdirSync(blobs).sort(
      (a, b) => statSync(join(blobs, b)).size - statSync(join(blobs, a)).size,
    );
    rmSync(join(blobs, largest));
    const root = fresh(it, 'b');
    it.write('Dockerfile', `${STAGES}RUN cat /first\n`);
    await it.build({ root, flags: importFrom(it, 'cache') });
    assert.deepEqual(idsOf(await it.why('cat /a.txt', root)), ['broken-local-cache']);
    assert.deepEqual((await it.build({ root })).ran, []);
  });

  const skip = hasRegistry() ? false : 'docker-registry is not installed';

  test('inline-min: an inline cache holds the final image only', { skip }, async () => {
    await using registry = await startRegistry();
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    const ref = `${registry.address}/app:inline`;
    await it.build({ flags: ['--cache-to', 'type=inline', '--output', `type=image,name=${ref},push=true`] });
    it.write('Dockerfile', STAGES.replace('/first', '/second'));
    const root = fresh(it, 'b');
    await it.build({ root, flags: ['--cache-from', `type=registry,ref=${ref}`] });
    const [step] = await it.why('cat /a.txt', root);
    assert.deepEqual(idsOf([step as WhyStep]), ['inline-min'], says(step).join());
  });

  test('lazy-forgotten: what was hit and never pulled is found again, or its source is named', { skip }, async () => {
    await using registry = await startRegistry();
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    const ref = `${registry.address}/cache:max`;
    await it.build({ flags: ['--cache-to', `type=registry,ref=${ref},mode=max`] });
    const root = fresh(it, 'b');
    assert.deepEqual((await it.build({ root, flags: ['--cache-from', `type=registry,ref=${ref}`] })).ran, []);
    const { ran } = await it.build({ root });
    const steps = await it.why(undefined, root);
    for (const step of steps.filter(({ outcome }) => outcome === 'ran'))
      assert.match(says(step).join(), new RegExp(ref));
    assert.ok(ran.length === 0 || idsOf(steps).includes('lazy-forgotten'));
  });

  test('hit-then-fail: a layer that is gone from a registry is a miss with its reason', { skip }, async () => {
    await using registry = await startRegistry();
    using it = scenario(STAGES, { 'a.txt': 'a\n' });
    const ref = `${registry.address}/cache:lost`;
    await it.build({ flags: ['--cache-to', `type=registry,ref=${ref},mode=max`] });
    await removeLayers(`http://${registry.address}/v2/cache`, 'lost');
    const root = fresh(it, 'b');
    it.write('Dockerfile', `${STAGES}RUN cat /first\n`);
    await it.build({ root, flags: ['--cache-from', `type=registry,ref=${ref}`] });
    assert.deepEqual(idsOf(await it.why('cat /a.txt', root)), ['hit-then-fail']);
    assert.deepEqual((await it.build({ root })).ran, []);
  });
});

/** Removes the layers of a cache from a registry, and leaves its manifest and config. */
async function removeLayers(repository: string, tag: string): Promise<void> {
  const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
  const manifest = await fetch(`${repository}/manifests/${tag}`, { headers });
  const { layers } = (await manifest.json()) as { layers: { digest: string }[] };
  for (const { digest } of layers) {
    const { status } = await fetch(`${repository}/blobs/${digest}`, { method: 'DELETE' });
    assert.equal(status, 202);
  }
}
