import assert from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { getXattr, setXattr } from '../../host/system/xattr.ts';
import { directoryTree } from '../../store/snapshot/file-tree-directory.ts';
import { exportTree } from './local.ts';

test('files keep their extended attributes where the file system has them', t => {
  using source = mkdtempDisposableSync(join(tmpdir(), 'outcrop-local-'));
  using target = mkdtempDisposableSync(join(tmpdir(), 'outcrop-local-'));
  writeFileSync(join(source.path, 'file'), 'x');
  try {
    setXattr(join(source.path, 'file'), 'user.note', Buffer.from('kept'));
  } catch {
    t.skip('the file system of temporary files takes no attributes of users');
    return;
  }
  exportTree(directoryTree(source.path), target.path, {}, AbortSignal.timeout(60_000));
  assert.equal(getXattr(join(target.path, 'file'), 'user.note')?.toString(), 'kept');
});
