import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { openCacheMounts } from '../../engine/ops/exec/cache-mount.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { UsageError } from './errors.ts';
import { exportMount, importMount, inspectMount, listMounts, removeMounts } from './run-mounts.ts';

const temporary = mkdtempSync(join(tmpdir(), 'outcrop-mounts-'));
after(() => rmSync(temporary, { recursive: true }));
const { signal } = new AbortController();

/** A root with a mount of each of two caches. */
async function makeRoot(): Promise<{ place: string; npm: string }> {
  const place = mkdtempSync(join(temporary, 'root-'));
  const store = openCacheMounts(rootLayout(place).cacheMounts);
  using npm = await store.acquire(
    { id: '/root/.npm', sharing: 'shared', description: 'cached mount /root/.npm' },
    signal,
  );
  using _apt = await store.acquire({ id: 'apt', sharing: 'locked' }, signal);
  mkdirSync(join(npm.path, 'pkg'));
  writeFileSync(join(npm.path, 'pkg', 'a'), 'x'.repeat(10_000));
  chmodSync(join(npm.path, 'pkg', 'a'), 0o4750);
  linkSync(join(npm.path, 'pkg', 'a'), join(npm.path, 'pkg', 'b'));
  symlinkSync('pkg/a', join(npm.path, 'link'));
  chmodSync(npm.path, 0o1777);
  return { place, npm: npm.path };
}

test('mounts are listed and looked into', async () => {
  const { place, npm } = await makeRoot();
  const table = await listMounts({}, place);
  assert.match(
    table,
    /^ID +CACHE +SIZE +LAST USED +WHAT\ncache-[0-9a-f]{16}-0 +\/root\/\.npm +[\d.]+kB +\S.* ago +cached mount \/root\/\.npm\ncache-\S+ +apt +.* cache mount apt\n$/,
  );
  const [first = ''] = (await listMounts({ json: true }, place)).split('\n');
  assert.equal(JSON.parse(first).cache, '/root/.npm');
  const { id } = JSON.parse(first);
  for (const name of ['/root/.npm', 'root/.npm', id, id.slice(0, 12)]) {
    const text = await inspectMount(name, {}, place);
    assert.match(text, new RegExp(`^ID: +${id}\nCache: +/root/\\.npm\n`));
    assert.match(text, /\nFiles: +3\n/);
    assert.match(text, /\nNAME +FILES +SIZE\npkg +2 +10kB\nlink +1 +0B\n$/);
    assert.ok(text.includes(npm));
  }
  await assert.rejects(inspectMount('nothing', {}, place), UsageError);
  await assert.rejects(inspectMount('cache-', {}, place), /means several/);
  assert.equal(await listMounts({ json: true }, join(temporary, 'never')), '');
});

test('mounts are removed, but not those that a step uses', async () => {
  const { place } = await makeRoot();
  const store = openCacheMounts(rootLayout(place).cacheMounts);
  await assert.rejects(removeMounts([], {}, place), UsageError);
  {
    using _used = await store.acquire({ id: 'apt', sharing: 'shared' }, signal);
    await assert.rejects(removeMounts(['apt'], {}, place), /a step uses it now/);
  }
  assert.match(await removeMounts(['apt', 'apt'], {}, place), /^cache-[0-9a-f]{16}-0\n$/);
  assert.match(await listMounts({ json: true }, place), /^\{.*"\/root\/\.npm".*\}\n$/);
  assert.match(await removeMounts([], { all: true }, place), /^cache-\S+\n$/);
  assert.equal(await listMounts({ json: true }, place), '');
  using again = await store.acquire({ id: '/root/.npm', sharing: 'shared' }, signal);
  assert.deepEqual(readdirSync(again.path), []);
});

test('mounts travel as tar archives', async () => {
  const { place } = await makeRoot();
  const archive = join(temporary, 'npm.tar');
  assert.equal(await exportMount('/root/.npm', { output: archive }, new PassThrough(), place), '');
  const stdout = new PassThrough();
  const streamed = buffer(stdout);
  await exportMount('/root/.npm', {}, stdout, place);
  stdout.end();
  assert.deepEqual(await streamed, readFileSync(archive));

  const other = join(temporary, 'other');
  assert.match(await importMount('root/.npm', archive, other), /^cache-[0-9a-f]{16}-0\n$/);
  await assert.rejects(importMount('/root/.npm', archive, other), /has a mount already/);
  const store = openCacheMounts(rootLayout(other).cacheMounts);
  {
    using mount = await store.acquire({ id: '/root/.npm', sharing: 'shared' }, signal);
    assert.deepEqual(readdirSync(mount.path).sort(), ['link', 'pkg']);
    const { mode, nlink, size } = statSync(join(mount.path, 'link'));
    assert.deepEqual([mode & 0o7777, nlink, size], [0o4750, 2, 10_000]);
    assert.equal(statSync(mount.path).mode & 0o7777, 0o1777);
    await assert.rejects(
      exportMount('/root/.npm', { output: archive }, new PassThrough(), other),
      /a step uses it now/,
    );
  }
  writeFileSync(join(temporary, 'broken.tar'), Buffer.alloc(700, 'x'));
  await assert.rejects(importMount('apt', join(temporary, 'broken.tar'), other), /the archive cannot be unpacked: tar/);
  assert.equal((await listMounts({ json: true }, other)).split('\n').length, 2);
});
