import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { directoryTree } from './file-tree-directory.ts';

test('a file is found by name after others were looked for in vain and the directory was listed', () => {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-tree-'));
  try {
    for (const name of ['a', 'b']) writeFileSync(join(dir, name), name);
    const tree = directoryTree(dir);
    for (const name of ['x', 'y', 'z']) assert.equal(tree.child(tree.root, name), undefined);
    assert.equal(tree.children(tree.root).length, 2);
    assert.equal(tree.child(tree.root, 'b')?.name, 'b');
    assert.equal(tree.child(tree.root, 'x'), undefined);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
