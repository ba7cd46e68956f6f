import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../../bin/outcrop.js', import.meta.url));

test('a Node that is too old is told so', () => {
  const pretend = `Object.defineProperties(process, {
    version: { value: 'v22.4.1' },
    versions: { value: { ...process.versions, node: '22.4.1' } },
  })`;
  const run = spawnSync(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`, BIN], {
    encoding: 'utf8',
  });
  assert.equal(run.stderr, `outcrop needs Node.js 24 or newer. This is v22.4.1 (${process.execPath}).\n`);
  assert.equal(run.status, 1);
});
