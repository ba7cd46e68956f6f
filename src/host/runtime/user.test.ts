import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeNode } from '../system/inode.ts';
import { homeOf, lookUpUser } from './user.ts';

describe('users of a step', () => {
  let root = '';
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'user-'));
    mkdirSync(join(root, 'etc'));
    writeFileSync(
      join(root, 'real'),
      'root:x:0:0::/root:/bin/sh\n\napp:x:1001:2002::/home/app:/bin/sh\nempty:x:7:7:::\n',
    );
    symlinkSync('/real', join(root, 'etc/passwd'));
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\nadm:x:4:root,other\nfive:x:5:app\nb:x:6:x,app\n');
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('follow the table', () => {
    for (const [spec, uid, gid, additionalGids] of [
      ['', 0, 0, [0, 4]],
      ['root', 0, 0, [0, 4]],
      ['1000:50', 1000, 50, [50]],
      ['root:root', 0, 0, [0]],
      ['1234', 1234, 0, [0]],
      ['1001', 1001, 2002, [2002, 5, 6]],
      ['app', 1001, 2002, [2002, 5, 6]],
      ['app:b', 1001, 6, [6]],
      ['app:77', 1001, 77, [77]],
      ['1001:77', 1001, 77, [77]],
      [':b', 0, 6, [6]],
      [':5', 0, 5, [5]],
    ] as const) {
      assert.deepEqual(lookUpUser(root, spec), { uid, gid, additionalGids }, spec);
    }
  });

  it('must exist when they have a name', () => {
    assert.throws(() => lookUpUser(root, 'nosuch'), {
      message: 'unable to find user nosuch: no matching entries in passwd file',
    });
    assert.throws(() => lookUpUser(root, 'app:nogrp'), {
      message: 'unable to find group nogrp: no matching entries in group file',
    });
    assert.throws(() => lookUpUser(root, '4294967295'), /range/);
  });

  it('have a home', () => {
    assert.deepEqual([homeOf(root, 1001), homeOf(root, 7), homeOf(root, 99)], ['/home/app', '/', '/']);
  });

  it('do not hang on a pipe in place of a file', () => {
    renameSync(join(root, 'etc/group'), join(root, 'etc/kept'));
    makeNode(join(root, 'etc/group'), 0o010600);
    assert.deepEqual(lookUpUser(root, 'app').additionalGids, [2002]);
    assert.deepEqual(lookUpUser(join(root, 'none'), ''), { uid: 0, gid: 0, additionalGids: [0] });
  });
});
