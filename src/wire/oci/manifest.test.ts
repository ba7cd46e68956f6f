import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goJson, goJsonIndented } from './go-json.ts';
import { diffIdsOf, parseImageConfig } from './image-config.ts';
import { parseIndex, parseManifest } from './manifest.ts';
import {
  convertLayerType,
  DOCKER_INDEX,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  isForeignLayerType,
  layerCompression,
  layerMediaType,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from './media-types.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const descriptor = { mediaType: OCI_CONFIG, digest: DIGEST, size: 2 };

test('reads a manifest and an index', () => {
  const manifest = parse({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers: [descriptor] });
  assert.equal(manifest.kind, 'manifest');
  assert.equal(manifest.mediaType, OCI_MANIFEST);
  const index = parse({
    schemaVersion: 2,
    manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }],
  });
  assert.equal(index.kind, 'index');
  assert.equal(index.mediaType, DOCKER_INDEX);
  assert.deepEqual(index.kind === 'index' && index.index.manifests[0]?.platform, {
    os: 'linux',
    architecture: 'arm',
    variant: 'v7',
  });
});

test('the type may stand outside, and layers may be null', () => {
  const parsed = parse({ schemaVersion: 2, config: descriptor, layers: null }, OCI_MANIFEST);
  assert.equal(parsed.mediaType, OCI_MANIFEST);
  assert.deepEqual(parsed.kind === 'manifest' && parsed.manifest.layers, []);
  assert.equal(parse({ schemaVersion: 2, config: descriptor, layers: [] }).mediaType, DOCKER_MANIFEST);
  assert.equal(parseIndex(bytes({ schemaVersion: 2, manifests: [] })).manifests.length, 0);
});

test('refuses what cannot be used', t => {
  const cases: [value: unknown, message: RegExp][] = [
    ['x', /not a JSON object/],
    [{ schemaVersion: 1 }, /schema 1 has been removed/],
    [{ schemaVersion: 3 }, /schemaVersion must be 2/],
    [{ schemaVersion: 2, config: descriptor, layers: [], manifests: [] }, /ambiguous/],
    [{ schemaVersion: 2, mediaType: OCI_INDEX, config: descriptor, layers: [] }, /does not match/],
    [{ schemaVersion: 2, mediaType: OCI_MANIFEST, manifests: [] }, /does not match/],
    [{ schemaVersion: 2, layers: [] }, /config is missing/],
    [{ schemaVersion: 2, config: { ...descriptor, digest: 'sha256:xyz' } }, /unsupported digest/],
    [{ schemaVersion: 2, config: { ...descriptor, digest: `sha256:../${'a'.repeat(61)}` } }, /unsupported digest/],
    [{ schemaVersion: 2, config: { ...descriptor, size: -1 } }, /no valid size/],
    [{ schemaVersion: 2, config: descriptor, layers: {} }, /layers must be a list/],
  ];
  for (const [value, message] of cases) assert.throws(() => parse(value), message);
  assert.throws(() => parseManifest(new TextEncoder().encode('{')), /not JSON/);
  t.diagnostic(`${cases.length + 1} of ${cases.length + 1}`);
});

test('converts between the families of media types', () => {
  assert.equal(convertLayerType(OCI_LAYER_GZIP, 'docker'), DOCKER_LAYER_GZIP);
  assert.equal(convertLayerType('application/x', 'docker'), 'application/x');
  assert.equal(layerCompression(layerMediaType('oci', 'zstd', true)), 'zstd');
  assert.ok(isForeignLayerType(layerMediaType('docker', 'gzip', true)));
});

test('reads an image config', () => {
  const config = parseImageConfig(bytes({ os: 'linux', rootfs: { type: 'layers', diff_ids: [DIGEST] }, extra: 1 }));
  assert.deepEqual(diffIdsOf(config), [DIGEST]);
  assert.deepEqual(diffIdsOf(parseImageConfig(bytes({ rootfs: { type: 'layers', diff_ids: null } }))), []);
  assert.throws(() => parseImageConfig(bytes({ rootfs: { diff_ids: ['x'] } })), /must be a list of digests/);
  assert.throws(() => parseImageConfig(bytes([])), /not a JSON object/);
});

test("writes Go's JSON", () => {
  assert.equal(goJson({ a: '<&>\u2028', b: undefined, c: [] }), '{"a":"\\u003c\\u0026\\u003e\\u2028","c":[]}');
  assert.equal(goJsonIndented({ a: '<' }), '{\n  "a": "\\u003c"\n}');
});

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function parse(value: unknown, mediaType?: string) {
  return parseManifest(bytes(value), mediaType);
}
