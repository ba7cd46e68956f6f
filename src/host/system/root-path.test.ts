import assert from 'node:assert/strict';
import { closeSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInRoot, resolveInRoot } from './root-path.ts';
import { mountOptions } from './statfs.ts';

describe('paths inside a root', () => {
  let root = '';
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'root-path-'));
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(join(root, 'a/file'), '');
    symlinkSync('/a/b', join(root, 'absolute'));
    symlinkSync('../../../../a', join(root, 'a/b/up'));
    symlinkSync('loop', join(root, 'loop'));
    symlinkSync('missing/x', join(root, 'a/dangling'));
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('follow links inside and never leave', () => {
    for (const [path, expected] of [
      ['/', ''],
      ['/absolute/c', 'a/b/c'],
      ['absolute/up/file', 'a/file'],
      ['/../../etc/passwd', 'etc/passwd'],
      ['/a/dangling', 'a/missing/x'],
      ['/a/dangling/../y', 'a/missing/y'],
    ] as const) {
      assert.equal(resolveInRoot(root, path), expected === '' ? root : join(root, expected));
    }
  });

  it('say when a part is a file or leads in a circle', () => {
    assert.throws(() => resolveInRoot(root, '/a/file/x'), {
      code: 'ENOTDIR',
      message: /not a directory/,
    });
    assert.throws(() => resolveInRoot(root, '/loop'), { code: 'ELOOP' });
  });

  it('open as handles', () => {
    const handle = openInRoot(root, '/absolute/up/file');
    assert.equal(readlinkSync(`/proc/self/fd/${handle}`), join(root, 'a/file'));
    closeSync(handle);
    assert.throws(() => openInRoot(root, '/nope'), { message: 'open /nope: no such file or directory' });
  });

  it('know the options of their mount', () => {
    assert.ok(mountOptions('/proc').every(option => option !== 'ro'));
    assert.ok(mountOptions('/proc').includes('relatime'));
  });
});
