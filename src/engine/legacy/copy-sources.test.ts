import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { AccountNames } from './account-names.ts';
import { openLegacyContext } from './context.ts';
import { findSources, type SourceFiles, sourcesHash } from './copy-sources.ts';
import { legacyRecords, plainTree } from './file-hash.ts';

const dirs: string[] = [];
after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-legacy-'));
  dirs.push(dir);
  mkdirSync(join(dir, 'd'));
  chmodSync(join(dir, 'd'), 0o755);
  const files = { 'a.txt': 'a\n', 'd/x': 'x\n', 'd/y': 'y\n' };
  for (const [path, text] of Object.entries(files)) {
    writeFileSync(join(dir, path), text);
    chmodSync(join(dir, path), 0o644);
  }
  return dir;
}

const contextOf = (dir: string) => openLegacyContext(dir).files;

async function hashOf(files: SourceFiles, ...paths: string[]): Promise<string> {
  const found = await Promise.all(paths.map(path => findSources(files, path, undefined)));
  return sourcesHash(found.flat());
}

const sha = (text: string) => createHash('sha256').update(text).digest('hex');
const header = (name: string, mode: number, size: number, type: string, link = '', owner = ['', '']) =>
  `name${name}mode${mode}uid0gid0size${size}typeflag${type}linkname${link}uname${owner[0]}gname${owner[1]}devmajor0devminor0`;

test('the hash of a file of the context is that which docker was seen to use', async () => {
  const expected = 'file:7a379d0ef3d363574f9a38cf03a78aa104889c30582434cdb486f5c62436edb0';
  const dir = directory();
  assert.equal(await hashOf(contextOf(dir), 'a.txt'), expected);
  utimesSync(join(dir, 'a.txt'), 1, 1);
  assert.equal(await hashOf(contextOf(dir), './a.txt'), expected, 'its time does not count');
  assert.equal(await hashOf(contextOf(dir), '/a.txt'), expected);
  chmodSync(join(dir, 'a.txt'), 0o600);
  assert.notEqual(await hashOf(contextOf(dir), 'a.txt'), expected, 'its mode does');
});

test('a directory: everything below it and itself, sorted; not itself for the whole context', async () => {
  const files = contextOf(directory());
  const x = sha(`${header('d/x', 0o100644, 2, '0')}x\n`);
  const y = sha(`${header('d/y', 0o100644, 2, '0')}y\n`);
  const d = sha(header('d/', 0o40755, 0, '5'));
  const a = sha(`${header('a.txt', 0o100644, 2, '0')}a\n`);
  assert.equal(await hashOf(files, 'd'), `dir:${sha([x, y, d].sort().join(','))}`);
  assert.equal(await hashOf(files, '.'), `dir:${sha([a, x, y, d].sort().join(','))}`);
  assert.equal(await hashOf(files, 'd/*'), `multi:${sha(`file:${x},file:${y}`)}`);
  const whole = await hashOf(files, 'd');
  assert.equal(await hashOf(files, 'a.txt', 'd'), `multi:${sha(`file:${a},${whole}`)}`);
});

test('links stand for what they lead to, under its path; a broken one for that path', async () => {
  const dir = directory();
  mkdirSync(join(dir, 'links'));
  chmodSync(join(dir, 'links'), 0o755);
  symlinkSync('../a.txt', join(dir, 'links', 'good'));
  symlinkSync('../nowhere', join(dir, 'links', 'broken'));
  symlinkSync('d', join(dir, 'to-d'));
  const files = contextOf(dir);
  const a = sha(`${header('a.txt', 0o100644, 2, '0')}a\n`);
  const links = sha(header('links/', 0o40755, 0, '5'));
  assert.equal(await hashOf(files, 'links/good'), `file:${a}`);
  assert.equal(await hashOf(files, 'links'), `dir:${sha([a, links, 'nowhere'].sort().join(','))}`);
  assert.equal(await hashOf(files, 'to-d/x'), await hashOf(files, 'd/x'));
});

test('files of images are hashed with the names of their owners on this machine', async () => {
  const tree = plainTree(directory());
  const names: AccountNames = { user: uid => `u${uid}`, group: gid => `g${gid}` };
  const records = legacyRecords(tree, names);
  const files: SourceFiles = { tree, records, copy: { tree, records }, isContext: false };
  const { uid = 0, gid = 0 } = tree.child(tree.root, 'a.txt') ?? {};
  const owned = header('a.txt', 0o100644, 2, '0', '', [`u${uid}`, `g${gid}`])
    .replace('uid0', `uid${uid}`)
    .replace('gid0', `gid${gid}`);
  assert.equal(await hashOf(files, 'a.txt'), `file:${sha(`${owned}a\n`)}`);
});

test('what is ignored is not there; the context is as large as its tar', async () => {
  const dir = directory();
  const before = openLegacyContext(dir).size();
  assert.equal(before, 512 * 2 * 3 + 512 + 1024);
  writeFileSync(join(dir, '.dockerignore'), 'd/x\n.dockerignore\n');
  const context = openLegacyContext(dir);
  assert.equal(context.size(), before, 'without d/x, with the ignore file, which is sent in any case');
  assert.equal(await hashOf(context.files, 'd/*'), await hashOf(context.files, 'd/y'));
  await assert.rejects(hashOf(context.files, 'd/x'), {
    message: 'file not found in build context or excluded by .dockerignore: stat d/x: file does not exist',
  });
});

test('paths do not lead out of the context', async () => {
  const files = contextOf(directory());
  for (const path of ['..', '../x', 'd/../../x', '/../x']) {
    await assert.rejects(hashOf(files, path), /^LegacyBuildError: forbidden path outside the build context: .* \(\)$/);
  }
  assert.equal(await hashOf(files, 'd/../a.txt'), await hashOf(files, 'a.txt'));
  assert.deepEqual(await findSources(files, 'no*', undefined), []);
});
