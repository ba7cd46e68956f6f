import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAbsolute, joinPath, joinWorkdir } from './system-path.ts';

test('an absolute path stays as written, a relative one is joined and cleaned', () => {
  assert.equal(joinPath('/app', '/a/./b//', 'linux', false), '/a/./b//');
  assert.equal(joinPath('/app', 'x/../y', 'linux', false), '/app/y');
  assert.equal(joinPath('', 'x', 'linux', false), '/x');
  assert.equal(joinPath('/app', '', 'linux', false), '/app');
});

test('what marks a directory is kept when asked', () => {
  assert.equal(joinPath('/app', './', 'linux', true), '/app/');
  assert.equal(joinPath('/app', 'dir/.', 'linux', true), '/app/dir/.');
  assert.equal(joinPath('/', '/.', 'linux', true), '/./.');
});

test('windows paths lose their drive, which is C:', () => {
  assert.equal(joinWorkdir('', 'C:\\app\\x', 'windows'), '\\app\\x');
  assert.equal(joinWorkdir('\\app', 'sub', 'windows'), '\\app\\sub');
  assert.equal(isAbsolute('c:/x', 'windows'), true);
  assert.equal(isAbsolute('d:/x', 'windows'), false);
  assert.throws(() => joinWorkdir('', 'D:\\x', 'windows'), /The specified path is not on the system drive \(C:\)$/);
  assert.throws(() => joinWorkdir('', '\\\\host\\share', 'windows'), /UNC paths are not supported$/);
});
