import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { watchMountStubs } from './mount-stubs.ts';

describe('mount stubs', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'stubs-'));
    mkdirSync(join(root, 'etc'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('go with their parents, and leave the times of what stays', () => {
    const clean = watchMountStubs(root, ['/etc/hosts', '/a/b/c', '/a/b/d'], true);
    for (const path of ['a/b/c', 'a/b/d']) mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, 'etc/hosts'), '');
    const before = statSync(join(root, 'etc'), { bigint: true }).mtimeNs;
    clean();
    assert.deepEqual(readdirSync(root), ['etc']);
    assert.deepEqual(readdirSync(join(root, 'etc')), []);
    assert.equal(statSync(join(root, 'etc'), { bigint: true }).mtimeNs, before);
  });

  it('stay when they hold something or were there before', () => {
    mkdirSync(join(root, 'old'));
    const clean = watchMountStubs(root, ['/old', '/full/x', '/etc/hosts'], true);
    mkdirSync(join(root, 'full/x'), { recursive: true });
    writeFileSync(join(root, 'full/y'), '');
    writeFileSync(join(root, 'etc/hosts'), 'text');
    clean();
    assert.deepEqual(readdirSync(root).sort(), ['etc', 'full', 'old']);
    assert.deepEqual(readdirSync(join(root, 'full')), ['y']);
    assert.ok(existsSync(join(root, 'etc/hosts')));
  });

  it('leave parents without the recursive option', () => {
    const clean = watchMountStubs(root, ['/p/q'], false);
    mkdirSync(join(root, 'p/q'), { recursive: true });
    clean();
    assert.deepEqual(readdirSync(join(root, 'p')), []);
  });

  it('are not removed through a link that the step made', () => {
    const outside = mkdtempSync(join(tmpdir(), 'outside-'));
    mkdirSync(join(outside, 'x'));
    const clean = watchMountStubs(root, ['/m/x'], true);
    symlinkSync(outside, join(root, 'm'));
    clean();
    assert.ok(existsSync(join(outside, 'x')));
    rmSync(outside, { recursive: true });
  });
});
