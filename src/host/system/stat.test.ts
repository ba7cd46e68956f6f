import assert from 'node:assert/strict';
import { lstatSync, mkdtempDisposableSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDevice } from './inode.ts';
import { statFile } from './stat.ts';

test('statFile says what lstat says', () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-stat-'));
  const file = join(scratch.path, 'file');
  writeFileSync(file, 'text');
  symlinkSync('file', join(scratch.path, 'link'));
  const old = join(scratch.path, 'old');
  writeFileSync(old, '');
  utimesSync(old, -10.5, -10.5);
  for (const path of [file, join(scratch.path, 'link'), old, scratch.path, '/dev/null', '/dev/tty', '/']) {
    const expected = lstatSync(path, { bigint: true });
    const found = statFile(path);
    assert.ok(found, path);
    const { mode, uid, gid, size, nlink, dev, ino, rdev, mtimeNs, ctimeNs } = expected;
    assert.deepEqual(
      [found.mode, found.uid, found.gid, found.size, found.nlink],
      [mode, uid, gid, size, nlink].map(Number),
      path,
    );
    assert.equal((BigInt(found.inoHigh) << 32n) | BigInt(found.inoLow), ino, path);
    assert.equal(makeDevice(Math.floor(found.device / 2 ** 20), found.device % 2 ** 20), dev, path);
    assert.equal(makeDevice(found.major, found.minor), rdev, path);
    assert.equal(BigInt(found.mtimeSeconds) * 1_000_000_000n + BigInt(found.mtimeNanoseconds), mtimeNs, path);
    assert.equal(BigInt(found.ctimeSeconds) * 1_000_000_000n + BigInt(found.ctimeNanoseconds), ctimeNs, path);
  }
});

test('where nothing is, there is nothing to say', () => {
  using scratch = mkdtempDisposableSync(join(tmpdir(), 'outcrop-stat-'));
  writeFileSync(join(scratch.path, 'file'), '');
  for (const path of ['missing', 'file/below', 'x'.repeat(300)])
    assert.equal(statFile(join(scratch.path, path)), undefined);
  assert.throws(() => statFile('a\0b'), TypeError);
});
