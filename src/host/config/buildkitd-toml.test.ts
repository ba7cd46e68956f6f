import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildkitdConfigPath, loadBuildkitdConfig, parseBuildkitdConfig } from './buildkitd-toml.ts';

test('reads the registry section', async () => {
  const config = await parseBuildkitdConfig(
    `
debug = true
[registry."docker.io"]
  mirrors = ["mirror.example.com:5000/hub", "other.example.com"]
[registry."mirror.example.com:5000"]
  http = true
  insecure = true
[registry."tls.example.com"]
  ca = ["/etc/ca.pem"]
  tlsconfigdir = ["/etc/certs.d/tls.example.com"]
  [[registry."tls.example.com".keypair]]
    key = "/k.pem"
    cert = "/c.pem"
[system]
  maxRegistryConcurrency = 7
`,
    'buildkitd.toml',
  );
  assert.deepEqual(config.registries.get('docker.io')?.mirrors, ['mirror.example.com:5000/hub', 'other.example.com']);
  assert.deepEqual(config.registries.get('mirror.example.com:5000'), {
    mirrors: [],
    http: true,
    insecure: true,
    ca: [],
    keypairs: [],
    tlsConfigDirs: [],
  });
  assert.deepEqual(config.registries.get('tls.example.com'), {
    mirrors: [],
    ca: ['/etc/ca.pem'],
    keypairs: [{ key: '/k.pem', cert: '/c.pem' }],
    tlsConfigDirs: ['/etc/certs.d/tls.example.com'],
  });
  assert.equal(config.maxRegistryConcurrency, 7);
});

test('reads where devices are described', async () => {
  const devicesOf = async (text: string) => (await parseBuildkitdConfig(text, 'f')).devices;
  const usual = { isDisabled: false, specDirs: ['/etc/cdi', '/var/run/cdi', '/etc/buildkit/cdi'], autoAllowed: [] };
  assert.deepEqual(await devicesOf(''), usual);
  assert.deepEqual((await loadBuildkitdConfig({ OUTCROP_CONFIG: '/dev/null' })).devices, usual);
  assert.deepEqual(await devicesOf('[cdi]\nspecDirs = ["/a"]\nautoAllowed = ["v.com/x"]'), {
    isDisabled: false,
    specDirs: ['/a'],
    autoAllowed: ['v.com/x'],
  });
  assert.deepEqual(await devicesOf('[cdi]\ndisabled = true\nspecDirs = ["/a"]'), {
    isDisabled: true,
    specDirs: [],
    autoAllowed: [],
  });
  await assert.rejects(devicesOf('[cdi]\nspecDirs = "/a"'), /cdi\.specDirs must be a list of strings/);
});

test('a wrong type is an error that names the key', async () => {
  const cases: [text: string, message: RegExp][] = [
    ['[registry."a"]\nmirrors = "x"', /failed to parse config: f: registry\."a"\.mirrors must be a list of strings/],
    ['[registry."a"]\nhttp = "yes"', /registry\."a"\.http must be true or false/],
    ['registry = 1', /registry must be a table/],
    ['[registry."a"]\nkeypair = [["k"]]', /must name a key and a cert/],
    ['[system]\nmaxRegistryConcurrency = "4"', /must be a number/],
    ['[', /failed to parse config: f: /],
  ];
  for (const [text, message] of cases) await assert.rejects(parseBuildkitdConfig(text, 'f'), message);
});

test('a missing file is no configuration, a missing one that was named is an error', async () => {
  assert.equal(buildkitdConfigPath({ OUTCROP_CONFIG: '/x/y.toml' }), '/x/y.toml');
  await assert.rejects(loadBuildkitdConfig({ OUTCROP_CONFIG: '/nowhere/y.toml' }), /cannot read/);
});
