/** Caches of a build on a daemon (`--builder`) in directories of this machine. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop, stepsOf, warningsOf } from '../support/cli.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { hasRegistry, startRegistry } from '../support/registry.ts';
import { workDirectory } from '../support/work-directory.ts';
import { writeFiles } from '../support/write-files.ts';

const work = workDirectory('builder-caches');
let first: TestDaemon;
let second: TestDaemon;

before(async () => {
  [first, second] = await Promise.all([startDaemon(), startDaemon()]);
});

after(async () => {
  await Promise.all([first[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]);
});

async function build(daemon: TestDaemon, dockerfile: string, ...args: readonly string[]) {
  const dir = join(work, `context-${dockerfile.length}`);
  writeFiles(dir, { Dockerfile: dockerfile });
  const flags = ['--progress=rawjson', '--build-context', baseContext(), '-o', 'type=cacheonly', ...args];
  const run = await outcrop(['build', '--builder', daemon.address, ...flags, dir], { root: join(work, 'untouched') });
  const steps = stepsOf(run.stderr);
  const cached = steps.filter(({ name, cached: hit }) => hit && name.includes('RUN')).map(({ name }) => name);
  return {
    ...run,
    steps,
    cached,
    printed: steps.map(({ output }) => output).join(''),
    warnings: warningsOf(run.stderr),
  };
}

async function succeeds(...args: Parameters<typeof build>) {
  const run = await build(...args);
  assert.equal(run.code, 0, run.stderr.slice(-3000));
  return run;
}

const filling = (note: string) =>
  `FROM base\nRUN --mount=type=cache,target=/c : ${note}; ls /c; touch /c/from-the-first; echo end\n`;
const chain = (note: string) =>
  `FROM base AS made\nRUN echo ${note} > /made\nFROM base\nRUN --mount=from=made,target=/m cat /m/made\n`;
const tags = (dir: string): Record<string, string> => {
  const { manifests } = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8'));
  type Entry = { digest: string; annotations: Record<string, string> };
  return Object.fromEntries(
    manifests.map(({ digest, annotations }: Entry) => [annotations['org.opencontainers.image.ref.name'], digest]),
  );
};
const blobs = (dir: string): number => readdirSync(join(dir, 'blobs', 'sha256')).length;

test('cache mounts travel from one daemon to another in a directory of this machine', async () => {
  const dir = join(work, 'mounts');
  const one = await succeeds(first, filling('1'), '--cache-to', `type=local,dest=${dir},mode=max,mounts=true`);
  assert.equal(one.printed, 'end\n');
  const { mounts } = JSON.parse((await outcrop(['cache', 'inspect', '--json', dir])).stdout.toString());
  assert.equal(mounts.length, 1);
  const two = await succeeds(second, filling('22'), '--cache-from', `type=local,src=${dir}`);
  assert.equal(two.printed, 'from-the-first\nend\n');
  assert.ok(two.steps.some(({ name }) => name.startsWith('restoring cache mount //c')));
  for (const type of ['inline', 's3,bucket=b,region=r', 'gha']) {
    const refused = await build(first, filling('1'), '--cache-to', `type=${type},mounts=true`);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /only caches of type registry and local carry cache mounts/);
  }
});

test('cache mounts travel from one daemon to another in a registry', {
  skip: hasRegistry() ? false : 'docker-registry is not installed',
}, async () => {
  await using registry = await startRegistry();
  const ref = `${registry.address}/mounts:1`;
  await succeeds(first, filling('333'), '--cache-to', `type=registry,ref=${ref},mode=max,mounts=true`);
  const fresh = filling('4444').replaceAll('/c', '/other');
  await succeeds(first, fresh.replace('4444', '55555'), '--cache-to', `type=registry,ref=${ref},mode=max,mounts=true`);
  const two = await succeeds(second, fresh, '--cache-from', `type=registry,ref=${ref}`);
  assert.equal(two.printed, 'from-the-first\nend\n');
});

test('each of several directories gets the cache that was written into it', async () => {
  const [min, max] = [join(work, 'several-min'), join(work, 'several-max')];
  const to = ['--cache-to', `type=local,dest=${min}`, '--cache-to', `type=local,dest=${max},mode=max`];
  await succeeds(first, chain('several'), ...to);
  const before = [tags(min), tags(max)];
  for (const dir of [min, max]) assert.equal((await outcrop(['cache', 'verify', dir])).code, 0, dir);
  assert.notDeepEqual(...(before as [unknown, unknown]));
  // Nothing ran: the same digests, once the steps have been found by their definitions.
  await succeeds(first, chain('several'), ...to);
  const found = [tags(min), tags(max)];
  await succeeds(first, chain('several'), ...to);
  assert.deepEqual([tags(min), tags(max)], found);
  const hit = await succeeds(second, chain('several'), '--cache-from', `type=local,src=${max}`);
  assert.equal(hit.cached.length, 2);
});

test('merge=true keeps what the directory holds, reset=true removes what no tag reaches', async () => {
  const dir = join(work, 'merged');
  await succeeds(first, chain('a'), '--cache-to', `type=local,dest=${dir},mode=max`);
  await succeeds(first, chain('bb'), '--cache-to', `type=local,dest=${dir},mode=max,merge=true`);
  await using third = await startDaemon();
  for (const note of ['a', 'bb']) {
    const hit = await succeeds(third, chain(note), '--cache-from', `type=local,src=${dir}`);
    assert.equal(hit.cached.length, 2, note);
  }
  const before = blobs(dir);
  const to = `type=local,dest=${dir},mode=max,tag=other`;
  await succeeds(first, chain('a'), '--cache-to', `${to},reset=true`);
  assert.deepEqual(Object.keys(tags(dir)).sort(), ['latest', 'other']);
  assert.ok(blobs(dir) < before + 2, `${blobs(dir)} of ${before}`);
  assert.equal((await outcrop(['cache', 'verify', dir])).code, 0);
});

test('a directory that is only read from cannot be written by the daemon', async () => {
  const dir = join(work, 'damaged');
  await succeeds(first, chain('damaged'), '--cache-to', `type=local,dest=${dir},mode=max`);
  const path = join(dir, 'blobs', 'sha256', tags(dir)['latest']?.slice('sha256:'.length) ?? '');
  writeFileSync(path.replace(/[^/]*$/, 'stray'), '');
  const names = readdirSync(join(dir, 'blobs', 'sha256'));
  writeFileSync(path, '{}');
  const { code, cached, stderr } = await build(second, chain('damaged'), '--cache-from', `type=local,src=${dir}`);
  assert.deepEqual([code, cached], [0, []], stderr);
  assert.match(stderr, /is damaged: its bytes have the digest/);
  assert.deepEqual(readdirSync(join(dir, 'blobs', 'sha256')), names);
  assert.equal(existsSync(join(work, 'untouched')), false);
});
