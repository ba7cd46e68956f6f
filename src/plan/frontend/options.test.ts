import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalIp, ignoresCache, parseFrontendOptions } from './options.ts';

const parse = (options: Readonly<Record<string, string>>) => parseFrontendOptions(new Map(Object.entries(options)));

test('options are read into what they mean', () => {
  const options = parse({
    platform: 'linux/aarch64,Linux/arm',
    'build-arg:A': '1',
    'label:l': 'x',
    'add-hosts': 'Db=10.0.0.5,six=2001:db8::0001',
    ulimit: 'nofile=1024:2048,nproc=-1',
    'shm-size': '64',
    memswap: '-1',
    'local-sessionid:d': 'other',
    'build-arg:BUILDKIT_SANDBOX_HOSTNAME': 'arg',
    hostname: 'option',
  });
  assert.deepEqual(options.targetPlatforms, [
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ]);
  assert.equal(options.multiPlatform, true);
  assert.equal(options.buildArgs.get('A'), '1');
  assert.deepEqual([...options.labels], [['l', 'x']]);
  assert.deepEqual(options.extraHosts, [
    { host: 'db', ip: '10.0.0.5' },
    { host: 'six', ip: '2001:db8::1' },
  ]);
  assert.deepEqual(options.ulimits, [
    { name: 'nofile', soft: 1024n, hard: 2048n },
    { name: 'nproc', soft: -1n, hard: -1n },
  ]);
  assert.equal(options.shmSize, 64n);
  assert.deepEqual(options.resources, { memorySwap: -1n });
  assert.equal(options.localSessions.get('d'), 'other');
  assert.equal(options.hostname, 'arg');
  assert.equal(parse({ platform: 'linux/arm64', 'multi-platform': 'true' }).multiPlatform, true);
});

test('no-cache names all stages or some', () => {
  assert.equal(ignoresCache(parse({ 'no-cache': '' }), ''), true);
  assert.equal(ignoresCache(parse({ 'no-cache': 'Build,other' }), 'build'), true);
  assert.equal(ignoresCache(parse({ 'no-cache': 'build' }), ''), false);
  assert.equal(ignoresCache(parse({}), 'build'), false);
});

test('what cannot be meant is refused by name', () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
    [{ 'image-resolve-mode': 'x' }, 'invalid image-resolve-mode: x'],
    [{ 'force-network-mode': 'bridge' }, 'invalid netmode bridge'],
    [{ 'multi-platform': 'x' }, 'invalid boolean value for multi-platform: x'],
    [{ 'add-hosts': 'h' }, 'failed to parse additional hosts: invalid key-value pair h'],
    [{ 'add-hosts': 'h=1.2.3' }, 'failed to parse additional hosts: failed to parse IP 1.2.3'],
    [{ ulimit: 'x=1' }, 'failed to parse ulimit: invalid ulimit type: x'],
    [
      { ulimit: 'core=5:4' },
      'failed to parse ulimit: ulimit soft limit must be less than or equal to hard limit: 5 > 4',
    ],
    [{ 'shm-size': 'a' }, 'failed to parse shm size: strconv.ParseInt: parsing "a": invalid syntax'],
    [{ memory: '0' }, 'failed to parse resource limits: invalid memory value: 0: must be > 0'],
    [{ 'frontend.caps': 'moby.buildkit.frontend.contexts+forward,foo' }, 'unsupported frontend capability foo'],
  ];
  for (const [options, message] of cases) assert.throws(() => parse(options), { name: 'FrontendOptionError', message });
});

test('addresses are written in one form', () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['10.0.0.5', '10.0.0.5'],
    ['010.0.0.5', undefined],
    ['256.0.0.1', undefined],
    ['::', '::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:192.168.0.1', '192.168.0.1'],
    ['1::2::3', undefined],
    ['localhost', undefined],
  ];
  for (const [text, expected] of cases) assert.equal(canonicalIp(text), expected, text);
});
