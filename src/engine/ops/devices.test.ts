import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceTable } from '../../host/cdi/devices.ts';
import { findDevices, grantDevices, readDeviceGrant } from './devices.ts';

const CLASS = 'org.mobyproject.buildkit.device.class';
const edits = { env: [], deviceNodes: [], netDevices: [], hooks: [], mounts: [], additionalGids: [] };

function tableOf(devices: Readonly<Record<string, { class?: string; auto?: boolean }>>): DeviceTable {
  return {
    problems: ['/etc/cdi/x.yaml: no devices'],
    devices: Object.entries(devices).map(([name, { class: of, auto = false }]) => {
      const kind = name.split('=')[0] ?? '';
      const spec = { kind, annotations: {}, edits, devices: [] };
      return { name, kind, annotations: of === undefined ? {} : { [CLASS]: of }, isAutoAllowed: auto, edits, spec };
    }),
  };
}

const table = tableOf({
  'v.com/device=foo': {},
  'v.com/multi=bar': { auto: true },
  'v.com/multi=baz': { class: 'class1', auto: true },
  'v.com/multi=foo': { auto: true },
  'w.com/device=foo': { class: 'class1' },
});

const required = (...names: string[]) => names.map(name => ({ name, optional: false }));
const named = (names: readonly { readonly name: string }[]) => names.map(({ name }) => name);
const find = (...names: string[]) => named(findDevices(table, required(...names)));

test('devices are asked for by name, kind and class', () => {
  assert.deepEqual(find('v.com/device=foo'), ['v.com/device=foo']);
  assert.deepEqual(find('v.com/multi'), ['v.com/multi=bar']);
  assert.deepEqual(find('v.com/multi=*'), ['v.com/multi=bar', 'v.com/multi=baz', 'v.com/multi=foo']);
  assert.deepEqual(find('class1', 'v.com/multi=baz'), ['v.com/multi=baz', 'w.com/device=foo']);
  assert.deepEqual(findDevices(table, [{ name: 'x.com/device', optional: true }]), []);
  for (const name of ['v.com/device=other', 'v.com', 'class2', '']) {
    assert.throws(() => find(name), { name: 'DeviceError', message: `required device "${name}" is not registered` });
  }
});

test('a build gets what is allowed to all, or to it', () => {
  const grant = (allowed: string[], ...names: string[]) =>
    named(grantDevices(required(...names), table, new Set(allowed)));
  assert.deepEqual(grant([], 'v.com/multi'), ['v.com/multi=bar']);
  assert.throws(() => grant([], 'v.com/device'), {
    message: 'device v.com/device=foo is requested by the build but not allowed',
    hints: ['allow it with --allow device=v.com/device=foo'],
  });
  assert.throws(() => grant(['device=v.com/multi'], 'v.com/device', 'class1'), {
    message: 'devices v.com/device=foo, w.com/device=foo are requested by the build but not allowed',
  });
  assert.deepEqual(grant(['device=v.com/device'], 'v.com/device'), ['v.com/device=foo']);
  assert.deepEqual(grant(['device=class1'], 'w.com/device=*'), ['w.com/device=foo']);
  assert.deepEqual(grant(['device=w.com/device=foo,alias=gpu'], 'gpu', 'v.com/multi=foo'), [
    'w.com/device=foo',
    'v.com/multi=foo',
  ]);
  assert.throws(
    () => grant(['device=x.com/device'], 'v.com/device'),
    /required device "x.com\/device" is not registered/,
  );
});

test('a build that may have everything asks when its steps run', () => {
  const requests = [{ name: 'x.com/device', optional: true }];
  assert.equal(grantDevices(requests, table, new Set(['device'])), requests);
});

test('what is allowed is read as BuildKit reads it', () => {
  assert.equal(readDeviceGrant('network.host'), undefined);
  assert.deepEqual(readDeviceGrant('device='), { name: '', alias: '' });
  assert.deepEqual(readDeviceGrant('device="a,b"'), { name: 'a,b', alias: '' });
  assert.throws(() => readDeviceGrant('device=a,b'), { message: 'invalid device config "b"' });
  assert.throws(() => readDeviceGrant('device=a,b=c'), { message: 'unknown device config key "b"' });
});
