/** What caches say of their age: the base images that they stand on, and results that are too old. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { outcrop, stepsOf, warningsOf } from '../support/cli.ts';
import { hasRegistry, startRegistry } from '../support/registry.ts';
import { workDirectory } from '../support/work-directory.ts';

const skip = hasRegistry() ? false : 'docker-registry is not installed';

const work = workDirectory('stale-cache');
let count = 0;

async function build(root: string, from: string, args: readonly string[]) {
  const dir = join(work, `context-${++count}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'Dockerfile'), `FROM ${from}\nRUN echo made > /made\n`);
  const { code, stderr } = await outcrop(['build', '--progress=rawjson', ...args, dir], { root: join(work, root) });
  assert.equal(code, 0, stderr.slice(-3000));
  const warnings = warningsOf(stderr);
  const run = stepsOf(stderr).find(({ name }) => name.includes('RUN'));
  return { warnings, isCached: run?.cached ?? false };
}

async function inspect(cache: string) {
  const { stdout, stderr } = await outcrop(['cache', 'inspect', '--json', cache]);
  assert.notEqual(stdout.length, 0, stderr);
  return JSON.parse(stdout.toString());
}

test('a hit whose base image has moved since is told, and what a cache stands on is shown', { skip }, async () => {
  await using registry = await startRegistry();
  await registry.tag('base:1', 'latest');
  const name = `${registry.address}/base:1`;
  const dir = join(work, 'cache');
  const from = ['--cache-from', `type=local,src=${dir}`];
  await build('a', name, ['--cache-to', `type=local,dest=${dir},mode=max`]);

  const about = await inspect(dir);
  assert.match(about.builder, /^outcrop \d/);
  const [{ digest, resolvedAt, ...base }] = about.bases;
  assert.deepEqual(base, { name });
  assert.ok(Date.parse(resolvedAt) <= Date.parse(about.exportedAt) && Date.parse(about.exportedAt) <= Date.now());
  assert.deepEqual(await build('b', name, from), { warnings: [], isCached: true });

  await registry.tag('base:1', 'layer');
  const moved = (await inspect(dir)).bases[0].current;
  assert.match(moved, /^sha256:/);
  assert.notEqual(moved, digest);
  // The digest is pinned, so that the step hits although the tag has moved.
  const { warnings, isCached } = await build('c', `${name}@${digest}`, from);
  assert.equal(isCached, true);
  assert.deepEqual(warnings, [
    `1 step was taken from ${/taken from (\S+),/.exec(warnings[0] ?? '')?.[1]}, which was made on ${name} as it was at ${resolvedAt}, ${digest}: the name means ${moved} now`,
  ]);
});

test('--cache-max-age leaves old results out, of every source that says nothing itself', { skip }, async () => {
  await using registry = await startRegistry();
  await registry.tag('base:1', 'latest');
  const name = `${registry.address}/base:1`;
  const dir = join(work, 'aged');
  await build('d', name, ['--cache-to', `type=local,dest=${dir},mode=max`]);
  const use = (root: string, source: string, age: string) =>
    build(root, name, ['--cache-from', `type=local,src=${dir}${source}`, '--cache-max-age', age]);
  assert.equal((await use('e', '', '1h')).isCached, true);
  assert.equal((await use('f', '', '0.001s')).isCached, false);
  const { stdout } = await outcrop(['why'], { root: join(work, 'f') });
  assert.match(stdout.toString(), /holds a result of it that is older than --cache-max-age allows/);
  assert.equal((await use('g', ',max-age=1h', '0.001s')).isCached, true);
});
