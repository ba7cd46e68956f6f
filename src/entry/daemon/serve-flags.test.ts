import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadDaemonConfig } from '../../host/config/daemon-config.ts';
import { runServe } from './serve.ts';
import { applyFlags } from './serve-flags.ts';

test('flags say where devices are described', async () => {
  const config = await loadDaemonConfig('/dev/null');
  const { specDirs } = applyFlags(config, {}).devices;
  assert.ok(specDirs.includes('/etc/cdi'));
  assert.deepEqual(applyFlags(config, { cdiSpecDir: ['/a,/b', '/c'] }).devices.specDirs, ['/a', '/b', '/c']);
  const disabled = applyFlags(config, { cdiDisabled: true, cdiSpecDir: ['/a'] }).devices;
  assert.deepEqual([disabled.isDisabled, disabled.specDirs], [true, []]);
});

test('a daemon that is to hold steps to a proxy does not start', async () => {
  const config = await loadDaemonConfig('/dev/null');
  assert.equal(applyFlags({ ...config, proxyNetwork: true }, { proxyNetwork: 'false' }).proxyNetwork, false);
  await assert.rejects(runServe({ config: '/dev/null', proxyNetwork: true }), /proxy networks are not done/);
});
