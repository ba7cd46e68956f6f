import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { editsOf, openDevices } from './devices.ts';

const root = mkdtempSync(join(tmpdir(), 'outcrop-cdi-'));
after(() => rmSync(root, { recursive: true }));

let count = 0;

/** A directory of descriptions. */
function directory(files: Readonly<Record<string, string>>): string {
  const path = join(root, String(count++));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

const FOO = `
cdiVersion: "0.6.0"
kind: vendor.com/device
annotations:
  a: spec
  b: 7
containerEdits:
  env: [ALL=1]
devices:
- name: foo
  annotations:
    a: device
    org.mobyproject.buildkit.device.autoallow: true
  containerEdits:
    env: [FOO=1]
    deviceNodes:
    - path: /dev/foo
      type: c
      major: 10
      minor: 0x10
      fileMode: 0660
- name: bar
  containerEdits:
    env: [BAR=1]
`;

const BAZ = JSON.stringify({
  cdiVersion: '1.1.0',
  kind: 'vendor.com/other.kind',
  devices: [
    { name: '0', containerEdits: { mounts: [{ hostPath: '/a', containerPath: '/b', options: ['ro'] }] } },
    { name: 'net', containerEdits: { netDevices: [{ hostInterfaceName: 'eth7', name: 'eth0' }] } },
  ],
});

test('devices are read from YAML and JSON, by name', async () => {
  const dir = directory({ 'foo.yaml': FOO, 'baz.json': BAZ, 'not.yml': 'x', 'notes.txt': 'x' });
  const { devices, problems } = await openDevices({
    specDirs: ['/nowhere', dir],
    autoAllowed: ['vendor.com/other.kind'],
  }).read();
  assert.deepEqual(problems, []);
  assert.deepEqual(
    devices.map(({ name, isAutoAllowed }) => [name, isAutoAllowed]),
    [
      ['vendor.com/device=bar', false],
      ['vendor.com/device=foo', true],
      ['vendor.com/other.kind=0', true],
      ['vendor.com/other.kind=net', true],
    ],
  );
  const foo = devices[1];
  assert.deepEqual(foo?.annotations, {
    a: 'device',
    b: '7',
    'org.mobyproject.buildkit.device.autoallow': 'true',
  });
  assert.deepEqual(foo?.edits.deviceNodes, [{ path: '/dev/foo', type: 'c', major: 10, minor: 16, fileMode: 0o660 }]);
  assert.deepEqual(devices[2]?.edits.mounts, [{ hostPath: '/a', containerPath: '/b', options: ['ro'] }]);
});

test('what a file says for all of its devices comes once, before theirs', async () => {
  const { devices } = await openDevices({ specDirs: [directory({ 'a.yaml': FOO })], autoAllowed: [] }).read();
  assert.deepEqual(editsOf(devices).env, ['ALL=1', 'BAR=1', 'FOO=1']);
});

test('a later directory wins, two files of one directory do not', async () => {
  const other = FOO.replaceAll('=1', '=2');
  const { devices } = await openDevices({
    specDirs: [directory({ 'a.yaml': FOO }), directory({ 'a.yaml': other })],
    autoAllowed: [],
  }).read();
  assert.deepEqual(editsOf(devices).env, ['ALL=2', 'BAR=2', 'FOO=2']);
  const both = await openDevices({ specDirs: [directory({ 'a.yaml': FOO, 'b.yaml': other })], autoAllowed: [] }).read();
  assert.deepEqual(both.devices, []);
  assert.match(both.problems.join('\n'), /b\.yaml: conflicting device vendor\.com\/device=foo: .*a\.yaml describes it/);
});

test('files that do not hold are told and left out', async () => {
  const wrong: [text: string, problem: RegExp][] = [
    ['[', /a\.yaml: /],
    ['x: 1', /x: unknown field/],
    [FOO.replace('"0.6.0"', '"0.5.0"'), /the spec version must be at least v0\.6\.0/],
    [FOO.replace('"0.6.0"', '"7.0.0"'), /invalid version "7\.0\.0"/],
    [FOO.replace('vendor.com/device', 'vendor'), /invalid kind "vendor"/],
    [FOO.replace('name: bar', 'name: foo'), /multiple device "foo"/],
    [FOO.replace('name: bar', 'name: -bar'), /invalid device name "-bar"/],
    [FOO.replace('env: [BAR=1]', 'env: []'), /"bar": invalid device, empty device edits/],
    [FOO.replace('env: [BAR=1]', 'env: [BAR]'), /invalid environment variable "BAR"/],
    [FOO.replace('type: c', 'type: x'), /device "\/dev\/foo": invalid type "x"/],
    [
      FOO.replace('major: 10', 'major: ten'),
      /devices\[0\]\.containerEdits\.deviceNodes\[0\]\.major must be a whole number/,
    ],
    ['cdiVersion: 0.6.0\nkind: a.com/b\ndevices: []', /no devices/],
    [FOO.replace('env: [BAR=1]', 'hooks: [{hookName: x, path: /x}]'), /invalid hook name "x"/],
  ];
  for (const [text, problem] of wrong) {
    const { devices, problems } = await openDevices({
      specDirs: [directory({ 'a.yaml': text })],
      autoAllowed: [],
    }).read();
    assert.deepEqual(devices, []);
    assert.match(problems.join('\n'), problem);
  }
});
