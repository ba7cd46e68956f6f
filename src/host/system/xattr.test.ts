import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SystemError } from './system-error.ts';
import { getXattr, listXattrs, readXattrs, removeXattr, setXattr } from './xattr.ts';

describe('extended attributes', () => {
  let place = '';
  before(() => {
    place = mkdtempSync(join(tmpdir(), 'xattr-'));
  });
  after(() => rmSync(place, { recursive: true, force: true }));

  it('are set, listed, read and removed', () => {
    const file = join(place, 'file');
    writeFileSync(file, '');
    assert.deepEqual(listXattrs(file), []);
    setXattr(file, 'user.one', Buffer.from([0, 1, 255]));
    setXattr(file, 'user.empty', Buffer.alloc(0));
    assert.deepEqual(listXattrs(file).sort(), ['user.empty', 'user.one']);
    assert.deepEqual(getXattr(file, 'user.one'), Buffer.from([0, 1, 255]));
    assert.equal(readXattrs(file).get('user.empty')?.length, 0);
    removeXattr(file, 'user.one');
    removeXattr(file, 'user.one');
    assert.equal(getXattr(file, 'user.one'), undefined);
  });

  it('belong to a link itself', { skip: process.getuid?.() === 0 ? false : 'trusted attributes need root' }, () => {
    const link = join(place, 'link');
    symlinkSync('nowhere', link);
    setXattr(link, 'trusted.x', Buffer.from('1'));
    assert.deepEqual(listXattrs(link), ['trusted.x']);
  });

  it('are found under names that are not UTF-8', () => {
    const name = Buffer.concat([Buffer.from(`${place}/`), Buffer.from([0xff, 0xfe])]);
    writeFileSync(name, '');
    setXattr(name, 'user.a', Buffer.from('b'));
    assert.equal(getXattr(name, 'user.a')?.toString(), 'b');
  });

  it('fail with a typed error', () => {
    const missing = join(place, 'missing');
    assert.throws(
      () => listXattrs(missing),
      (error: unknown) =>
        error instanceof SystemError &&
        error.code === 'ENOENT' &&
        error.errno === 2 &&
        error.syscall === 'llistxattr' &&
        error.path === missing &&
        error.message === `llistxattr ${missing}: no such file or directory`,
    );
    assert.throws(() => listXattrs('/a\0b'), TypeError);
  });
});
