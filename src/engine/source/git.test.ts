import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
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
import { after, before, test } from 'node:test';
import { type DirectoryLayers, directoryLayers } from '../../../test/support/directory-layers.ts';
import { type GitServer, startGitServer } from '../../../test/support/git-server.ts';
import { type Database, openDatabase } from '../../store/database.ts';
import { digestOf, hexOf } from '../../wire/oci/digest.ts';
import { createRegistryClient } from '../../wire/registry/client.ts';
import type { SourceRequest } from '../ops/op-context.ts';
import { openDownloadStore } from './download-store.ts';
import { type GitSourceOptions, gitCommitTime, gitOp, type RemoteRefs, readGitSource, resolveGit } from './git.ts';
import { lookUps } from './look-ups.ts';
import { directoryLayouts } from './oci-layout.ts';
import { sourceProgress } from './source-progress.ts';

const signal = new AbortController().signal;
const progress = sourceProgress(
  'sha256:vertex',
  () => {},
  () => 0n,
);
let root: string;
let server: GitServer;
let database: Database;
let layers: DirectoryLayers;
let options: GitSourceOptions;
let secrets: Record<string, string> = {};
let first: string;
let second: string;

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'outcrop-git-'));
  server = await startGitServer();
  database = openDatabase(root);
  layers = directoryLayers(join(root, 'layers'));
  options = {
    repositories: join(root, 'git'),
    checkouts: openDownloadStore(database),
    layers,
    secrets: {
      get: async name => {
        const value = secrets[name];
        return value === undefined ? undefined : new TextEncoder().encode(value);
      },
    },
    ssh: { socket: async () => undefined },
    lookUps: lookUps<RemoteRefs>(),
    blobs: {
      registry: createRegistryClient({ hosts: new Map() }),
      ociLayouts: directoryLayouts(new Map([['bundles', join(root, 'bundles')]])),
    },
  };
  first = server.commit({ 'a.txt': 'one', 'dir/b.txt': 'b', 'run.sh': 'x' });
  server.git('tag', 'light');
  server.git('tag', '-a', 'v1', '-m', 'note');
  second = server.commit({ 'a.txt': 'two' });
  server.git('branch', 'feature', first);
});

after(async () => {
  await server[Symbol.asyncDispose]();
  database[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

const newBuild = (): GitSourceOptions => ({ ...options, lookUps: lookUps<RemoteRefs>() });

/** A source of a build of its own, unless one is given. */
function open(fragment: string, attrs: Record<string, string> = {}, build = newBuild()) {
  const identifier = `git://${server.url.slice('http://'.length)}${fragment}`;
  const request: SourceRequest = {
    vertex: { digest: 'sha256:vertex', name: '', inputs: [], ignoreCache: false },
    identifier,
    attrs: { 'git.fullurl': server.url, ...attrs },
    platform: { os: 'linux', architecture: 'amd64' },
  };
  return gitOp(request, build, progress);
}

async function checkout(fragment: string, attrs: Record<string, string> = {}, build = newBuild()): Promise<string> {
  const op = open(fragment, attrs, build);
  await op.cacheMap(0, signal);
  const [ref] = await op.exec([], signal);
  assert.ok(ref?.kind === 'snapshot' && ref.layers.length === 1);
  return layers.path(ref.layers[0] ?? '');
}

const read = (dir: string, name: string) => readFileSync(join(dir, name), 'utf8');

test('checks out branches, tags, commits and the default branch', async () => {
  for (const [fragment, text] of [
    ['', 'two'],
    ['#main', 'two'],
    ['#feature', 'one'],
    ['#light', 'one'],
    ['#v1', 'one'],
    ['#refs/tags/v1', 'one'],
    [`#${first}`, 'one'],
    [`#${second}`, 'two'],
  ] as const) {
    const dir = await checkout(fragment);
    assert.equal(read(dir, 'a.txt'), text, fragment);
    assert.deepEqual(readdirSync(dir).sort(), ['a.txt', 'dir', 'run.sh']);
    assert.equal(statSync(join(dir, 'a.txt')).mode & 0o7777, 0o644);
    assert.equal(statSync(join(dir, 'dir')).mode & 0o7777, 0o755);
  }
});

test('the same commit is checked out once', async () => {
  const dir = await checkout('#main');
  const before = server.requests.length;
  assert.equal(await checkout(`#${second}`), dir);
  assert.equal(server.requests.length, before, 'a commit that is here needs no server');
});

test('a subdirectory becomes the root', async () => {
  const dir = await checkout('#main:dir');
  assert.deepEqual(readdirSync(dir), ['b.txt']);
  await assert.rejects(checkout('#main:nosuch'), /invalid subdir nosuch: the repository has no such directory/);
  await assert.rejects(checkout('#main:a.txt'), /contains non-directory "a\.txt"/);
});

test('.git is kept when it is asked for', async () => {
  const dir = await checkout('#v1', { 'git.keepgitdir': 'true' });
  assert.ok(existsSync(join(dir, '.git', 'HEAD')));
  assert.ok(!existsSync(join(dir, '.git', 'FETCH_HEAD')));
  assert.match(read(dir, '.git/config'), new RegExp(`url = ${server.url}`));
  assert.equal(read(dir, 'a.txt'), 'one');
  const branch = await checkout('#main', { 'git.keepgitdir': 'true' });
  assert.ok(existsSync(join(branch, '.git', 'refs', 'heads', 'main')));
});

test('times are those of the commit when it is asked for', async () => {
  const dir = await checkout('#main', { 'git.mtime': 'commit' });
  const time = Date.parse('2020-01-02T03:04:05Z');
  assert.equal(statSync(join(dir, 'dir')).mtimeMs, time);
  assert.equal(statSync(join(dir, 'dir', 'b.txt')).mtimeMs, time);
  const identifier = `git://${server.url.slice('http://'.length)}#v1`;
  const id = readGitSource(identifier, { 'git.fullurl': server.url });
  assert.equal(await gitCommitTime(id, options, progress, signal), time / 1000);
});

test('a wrong checksum, a missing ref and a missing repository are refused', async () => {
  await checkout('#main', { 'git.checksum': second.slice(0, 10) });
  await assert.rejects(checkout('#main', { 'git.checksum': first }), /expected checksum to match/);
  await assert.rejects(checkout('#nosuch'), { name: 'SourceError', message: /does not contain ref nosuch/ });
  const elsewhere = { 'git.fullurl': server.url.replace('repo.git', 'other.git') };
  await assert.rejects(checkout('#main', elsewhere), /failed to fetch remote .*other\.git: git ls-remote: fatal: /);
});

/** Puts a bundle where sources find it; returns its locator. */
function layOut(bundle: Buffer): string {
  const digest = digestOf(bundle);
  const blobs = join(root, 'bundles/blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(blobs, hexOf(digest)), bundle);
  return `oci-layout+blob://any/name@${digest}`;
}

test('a bundle is made of all that a commit stands on, and fetched from in place of the remote', async () => {
  await checkout('#main');
  const dir = await checkout('#main', { 'git.checkoutbundle': 'true' });
  assert.deepEqual(readdirSync(dir), ['bundle']);
  const locator = layOut(readFileSync(join(dir, 'bundle')));
  assert.match(server.git('bundle', 'list-heads', join(dir, 'bundle')), new RegExp(`^${second} refs/heads/main$`));
  server.git('bundle', 'verify', join(dir, 'bundle'));

  const elsewhere = { 'git.fullurl': server.url.replace('repo.git', 'bundled.git') };
  const from = (commit: string) => ({
    ...elsewhere,
    'git.bundle': locator,
    'git.checksum': commit,
    'oci.store': 'bundles',
  });
  const before = server.requests.length;
  for (const [fragment, commit, text] of [
    [`#${first}`, first, 'one'],
    ['#main', second, 'two'],
    ['', second, 'two'],
  ] as const) {
    assert.equal(read(await checkout(fragment, { ...from(commit), 'git.mtime': 'commit' }), 'a.txt'), text, fragment);
  }
  const kept = await checkout('#main', { ...from(second), 'git.keepgitdir': 'true' });
  assert.ok(existsSync(join(kept, '.git/refs/heads/main')));
  assert.equal(server.requests.length, before, 'the remote is not asked');

  const other = '0'.repeat(40);
  await assert.rejects(
    checkout('#main', from(other)),
    new RegExp(`commit ${other} not found in bundle any/name@sha256:`),
  );
  const gone = { ...from(second), 'git.bundle': locator.replace(/.{64}$/, '0'.repeat(64)), 'git.fullurl': server.url };
  await assert.rejects(checkout('#main', gone), /failed to fetch git bundle any\/name@sha256:0+: .*has no blob/);
});

test('a bundle holds a commit under a name, and a tag as one', async () => {
  const heads = async (fragment: string, attrs: Record<string, string> = {}) => {
    const dir = await checkout(fragment, { 'git.checkoutbundle': 'true', ...attrs });
    return server.git('bundle', 'list-heads', join(dir, 'bundle'));
  };
  assert.equal(await heads(`#${first}`), `${first} refs/heads/main`);
  server.git('checkout', '--quiet', '-b', 'named');
  const named = server.commit({ 'n.txt': 'n' });
  server.commit({ 'n.txt': 'more' });
  server.git('tag', '-a', 'v3', '-m', 'note');
  server.git('reset', '--quiet', '--hard', named);
  server.git('checkout', '--quiet', 'main');
  assert.equal(await heads('#named'), `${named} refs/heads/named`);
  const tag = server.git('rev-parse', 'refs/tags/v3');
  assert.equal(await heads('#refs/tags/v3', { 'git.checksum': tag }), `${tag} refs/tags/v3`);
});

test('where a bundle is has to be said so that it can be found', () => {
  const wrong: [attrs: Record<string, string>, message: RegExp][] = [
    [{ 'git.bundle': 'x' }, /failed to parse git\.bundle locator "x": missing scheme/],
    [{ 'git.bundle': 'https://x' }, /locator scheme "https" is not supported/],
    [{ 'git.bundle': 'docker-image+blob://a/b' }, /invalid digest/],
    [{ 'git.bundle': `docker-image+blob://a/b@sha256:${'0'.repeat(64)}` }, /git\.bundle requires git\.checksum/],
    [{ 'git.checkoutbundle': 'true', 'git.keepgitdir': 'true' }, /incompatible with git\.keepgitdir/],
  ];
  for (const [attrs, message] of wrong) assert.throws(() => open('#main', attrs), { name: 'SourceError', message });
});

test('a commit alone is fetched when it is asked for', async () => {
  const commit = server.commit({ 'c.txt': 'c' });
  server.git('reset', '--quiet', '--hard', second);
  const attrs = { 'git.fetchbycommit': 'true', 'git.checksum': commit };
  assert.equal(read(await checkout('#gone', attrs), 'c.txt'), 'c');
});

test('a branch that moves is seen, one that becomes a directory too', async () => {
  server.git('checkout', '--quiet', '-b', 'moving');
  server.commit({ 'm.txt': '1' });
  assert.equal(read(await checkout('#moving'), 'm.txt'), '1');
  server.commit({ 'm.txt': '2' });
  assert.equal(read(await checkout('#moving'), 'm.txt'), '2');
  server.git('checkout', '--quiet', 'main');
  server.git('branch', '-D', 'moving');
  server.git('checkout', '--quiet', '-b', 'moving/on');
  server.commit({ 'm.txt': '3' });
  assert.equal(read(await checkout('#moving/on'), 'm.txt'), '3');
  server.git('checkout', '--quiet', 'main');
});

test('a tag that moves during a build does not move for it', async () => {
  server.git('tag', 'moving', first);
  const build = newBuild();
  const id = readGitSource(`git://${server.url.slice('http://'.length)}#moving`, { 'git.fullurl': server.url });
  const before = await resolveGit(id, build, progress, signal);
  server.git('tag', '-f', 'moving', second);
  // How a client would authenticate does not make it another name.
  assert.deepEqual(await resolveGit(id, build, progress, signal), before);
  assert.equal(read(await checkout('#moving', { 'git.authtokensecret': 'T' }, build), 'a.txt'), 'one');
  assert.equal(read(await checkout('#moving'), 'a.txt'), 'two');
});

test('secrets authenticate, the one of the host first', async () => {
  const { host } = new URL(server.url);
  server.authorization = `basic ${Buffer.from('x-access-token:secret').toString('base64')}`;
  const named = { 'git.authtokensecret': 'GIT_AUTH_TOKEN', 'git.authheadersecret': 'GIT_AUTH_HEADER' };
  secrets = { [`GIT_AUTH_TOKEN.${host}`]: 'secret\n', GIT_AUTH_TOKEN: 'wrong' };
  assert.equal(read(await checkout('#main', named), 'a.txt'), 'two');
  secrets = { GIT_AUTH_HEADER: server.authorization };
  await checkout('#light', named);
  secrets = {};
  await assert.rejects(checkout('#main', named), /failed to fetch remote/);
  server.authorization = undefined;
});

test('submodules come along', async () => {
  await using inner = await startGitServer();
  const commit = inner.commit({ 'inner.txt': 'inner' });
  server.git('checkout', '--quiet', '-b', 'withsub');
  mkdirSync(join(server.git('rev-parse', '--show-toplevel'), 'sub'));
  // Not by `git submodule add`: it would ask the server of this very process, and wait for it.
  server.git('update-index', '--add', '--cacheinfo', `160000,${commit},sub`);
  server.commit({ '.gitmodules': `[submodule "sub"]\n\tpath = sub\n\turl = ${inner.url}\n` });
  server.git('checkout', '--quiet', 'main');
  const dir = await checkout('#withsub');
  assert.equal(read(dir, 'sub/inner.txt'), 'inner');
  assert.ok(!existsSync(join(dir, 'sub', '.git')));
  const without = await checkout('#withsub', { 'git.skipsubmodules': 'true' });
  assert.deepEqual(readdirSync(join(without, 'sub')), []);
});

test('links and modes survive', async () => {
  server.git('checkout', '--quiet', '-b', 'modes');
  const work = server.git('rev-parse', '--show-toplevel');
  symlinkSync('a.txt', join(work, 'link'));
  chmodSync(join(work, 'run.sh'), 0o755);
  server.commit({});
  server.git('checkout', '--quiet', 'main');
  const dir = await checkout('#modes');
  assert.equal(read(dir, 'link'), 'two');
  assert.equal(statSync(join(dir, 'run.sh')).mode & 0o7777, 0o755);
});

test('what fails to stop is stopped', async () => {
  const controller = new AbortController();
  controller.abort(new Error('stopped'));
  await assert.rejects(open('#main').cacheMap(0, controller.signal), /stopped/);
});
