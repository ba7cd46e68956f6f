import assert from 'node:assert/strict';
import { it } from 'node:test';
import { configDirectory, outcropRoot, runtimeDirectory } from './paths.ts';

const user = { OUTCROP_ROOTLESS: '1', HOME: '/home/me' };

it("keeps an ordinary user's files where XDG says", () => {
  assert.equal(outcropRoot(user), '/home/me/.local/state/outcrop');
  assert.equal(outcropRoot({ ...user, XDG_STATE_HOME: '/s' }), '/s/outcrop');
  assert.equal(outcropRoot({ ...user, XDG_STATE_HOME: 'relative' }), '/home/me/.local/state/outcrop');
  assert.equal(runtimeDirectory({ ...user, XDG_RUNTIME_DIR: '/run/user/1' }), '/run/user/1/outcrop');
  assert.equal(runtimeDirectory(user), '/home/me/.local/state/outcrop/run');
  assert.equal(configDirectory(user), '/home/me/.config/outcrop');
});

it("keeps root's files in the system, unless told otherwise", {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, () => {
  assert.deepEqual(
    [outcropRoot({}), runtimeDirectory({}), configDirectory({})],
    ['/var/lib/outcrop', '/run/outcrop', '/etc/outcrop'],
  );
  assert.equal(outcropRoot({ OUTCROP_ROOT: '/x' }), '/x');
  assert.equal(runtimeDirectory({ OUTCROP_ROOT: '/x' }), '/x/run');
  assert.equal(runtimeDirectory({ OUTCROP_RUNTIME_DIR: '/r' }), '/r');
});
