import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from './descriptor.ts';
import {
  equalPlatforms,
  formatPlatform,
  formatPlatformAll,
  hostPlatform,
  matchesPlatform,
  matchingManifests,
  normalizePlatform,
  parsePlatform,
} from './platform.ts';

test('parses and normalises', t => {
  const cases: [text: string, parsed: string, normal: string][] = [
    ['linux/amd64', 'linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/aarch64', 'linux/arm64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/v9.0', 'linux/arm64/v9', 'linux/arm64/v9'],
    ['linux/arm', 'linux/arm', 'linux/arm/v7'],
    ['linux/arm/7', 'linux/arm/v7', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6', 'linux/arm/v6'],
    ['linux/i386', 'linux/386', 'linux/386'],
    ['macOS/arm64', 'darwin/arm64', 'darwin/arm64'],
    ['Linux/S390X', 'linux/s390x', 'linux/s390x'],
    ['windows(10.0.17763+win32k)/amd64', 'windows(10.0.17763+win32k)/amd64', 'windows(10.0.17763+win32k)/amd64'],
    ['linux(+b+a)/amd64', 'linux(+a+b)/amd64', 'linux(+a+b)/amd64'],
    ['arm64', 'linux/arm64', 'linux/arm64'],
    ['arm', 'linux/arm', 'linux/arm/v7'],
    ['linux', `linux/${hostPlatform().architecture}`, `linux/${hostPlatform().architecture}`],
    ['any/thing/else', 'any/thing/else', 'any/thing/else'],
  ];
  for (const [text, parsed, normal] of cases) {
    assert.equal(formatPlatformAll(parsePlatform(text)), parsed, text);
    assert.equal(formatPlatformAll(normalizePlatform(parsePlatform(text))), normal, text);
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('refuses what is no platform', () => {
  assert.throws(() => parsePlatform('linux/*'), /wildcards not yet supported/);
  assert.throws(() => parsePlatform('foo'), {
    message: '"foo": unknown operating system or architecture: invalid argument',
  });
  assert.throws(() => parsePlatform('a/b/c/d'), /cannot parse platform specifier/);
  assert.throws(() => parsePlatform('linux/a b'), /is an invalid component of/);
  assert.throws(() => parsePlatform(''), /is an invalid OS component of/);
});

test('chooses the best manifest of an index', t => {
  const cases: [wanted: string, offered: string[], best: string | undefined][] = [
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/386', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/386', 'linux/arm64'], 'linux/386'],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/amd64/v2'], undefined],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8'], 'linux/arm/v6'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm64', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v9.1', ['linux/arm64/v8.6', 'linux/arm64', 'linux/arm64/v9.2'], 'linux/arm64/v8.6'],
    ['linux/arm64/v8.2', ['linux/arm64/v8.5', 'linux/arm64/v8.1'], 'linux/arm64/v8.1'],
    ['linux/s390x', ['linux/amd64'], undefined],
    ['linux/amd64', ['unknown/unknown', 'linux/amd64'], 'linux/amd64'],
    ['linux(+a+b)/amd64', ['linux/amd64', 'linux(+a)/amd64', 'linux(+c)/amd64'], 'linux(+a)/amd64'],
  ];
  for (const [wanted, offered, best] of cases) {
    const manifests = offered.map((text, i) => manifest(i, text));
    const found = matchingManifests(manifests, parsePlatform(wanted))[0];
    assert.equal(found?.platform === undefined ? undefined : formatPlatformAll(found.platform), best, wanted);
    assert.equal(
      offered.some(text => matchesPlatform(parsePlatform(wanted), parsePlatform(text))),
      best !== undefined,
    );
  }
  t.diagnostic(`${cases.length} of ${cases.length}`);
});

test('an entry without a platform comes last', () => {
  const { platform: _, ...bare } = manifest(1, 'linux/amd64');
  const found = matchingManifests([bare, manifest(2, 'linux/amd64')], parsePlatform('linux/amd64'));
  assert.deepEqual(
    found.map(entry => entry.size),
    [2, 1],
  );
});

test('compares and formats', () => {
  assert.ok(equalPlatforms(parsePlatform('linux/arm64/v8'), { os: 'linux', architecture: 'aarch64' }));
  assert.ok(!equalPlatforms(parsePlatform('linux/arm64'), parsePlatform('linux/amd64')));
  assert.equal(formatPlatform({ os: '', architecture: 'x' }), 'unknown');
  assert.equal(
    formatPlatformAll({ os: 'windows', architecture: 'amd64', 'os.version': '1(+)' }),
    'windows(1%28%2B%29)/amd64',
  );
});

function manifest(size: number, platform: string): Descriptor {
  return { mediaType: 'x', digest: `sha256:${'0'.repeat(64)}`, size, platform: parsePlatform(platform) };
}
