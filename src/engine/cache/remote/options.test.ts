import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheOptionsError } from './attributes.ts';
import { openCacheExports } from './export.ts';
import { fakeMachine } from './fake-build.ts';
import { readExportOptions, readImportOptions } from './options.ts';

const to = (type: string, attributes: Record<string, string>) => readExportOptions({ type, attributes }, {});
const from = (type: string, attributes: Record<string, string>) => readImportOptions({ type, attributes }, {});
const ref = 'localhost:5000/a/b';

test('defaults', () => {
  const form = { compression: { type: 'gzip', force: false }, ociMediaTypes: true, imageManifest: true };
  const choice = { mode: 'min', ignoreError: false, merge: false, reset: false, mounts: false };
  assert.deepEqual(to('registry', { ref }), {
    type: 'content',
    place: { type: 'registry', reference: { domain: 'localhost:5000', path: 'a/b', tag: 'latest' }, insecure: false },
    form,
    ...choice,
  });
  const place = { type: 'local', directory: '/d', tag: 'latest' };
  assert.deepEqual(to('local', { dest: '/d' }), { type: 'content', place, form, ...choice });
  assert.deepEqual(to('inline', { mode: 'max' }), { type: 'inline' });
  assert.deepEqual(from('local', { src: '/d' }), { place });
  assert.deepEqual(from('local', { src: '/d', tag: 'v', 'max-age': '7d' }).maxAge, 7 * 24 * 3600 * 1000);
});

test('all that can be said', () => {
  const options = to('registry', {
    ref: `${ref}:t`,
    mode: 'MAX',
    'oci-mediatypes': 'false',
    compression: 'zstd',
    'compression-level': '19',
    'force-compression': '',
    'ignore-error': 'true',
    merge: '1',
    'registry.insecure': 'true',
    unknown: 'ignored',
  });
  assert(options.type === 'content' && options.place.type === 'registry');
  assert.equal(options.place.insecure, true);
  assert.deepEqual(options.form, {
    compression: { type: 'zstd', level: 19, force: true },
    ociMediaTypes: false,
    imageManifest: false,
  });
  assert.deepEqual([options.mode, options.ignoreError, options.merge], ['max', true, true]);
});

const refusals: readonly (readonly [() => unknown, string])[] = [
  [() => to('nosuch', {}), 'unknown cache exporter: "nosuch": it is one of registry, local, inline, s3, gha'],
  [() => from('nosuch', {}), 'unknown cache importer: "nosuch": it is one of registry, local, s3, gha'],
  [() => to('regsitry', { ref }), 'unknown cache exporter: "regsitry" (did you mean registry?)'],
  [() => to('local', {}), 'local cache exporter requires dest'],
  [() => from('local', {}), 'local cache importer requires src'],
  [() => to('registry', {}), 'registry cache exporter requires ref'],
  [() => from('registry', {}), 'registry cache importer requires ref'],
  [
    () => from('local', { src: '/d', tag: '' }),
    'local cache importer requires either explicit digest, "latest" tag or custom tag on index.json',
  ],
  [
    () => to('registry', { ref: 'h.example/Case' }),
    'failed to configure registry cache exporter: invalid reference format: repository name (Case) must be lowercase',
  ],
  [
    () => to('local', { dest: '/d', 'image-manifest': 'true', 'oci-mediatypes': 'false' }),
    'invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format',
  ],
  [
    () => to('local', { dest: '/d', 'image-manifest': 'maybe' }),
    'failed to configure local cache exporter: failed to parse image-manifest: strconv.ParseBool: parsing "maybe": invalid syntax',
  ],
  [
    () => to('local', { dest: '/d', reset: 'maybe' }),
    'failed to parse reset attribute: strconv.ParseBool: parsing "maybe": invalid syntax',
  ],
  [
    () => to('local', { dest: '/d', compression: 'lzma' }),
    'unsupported compression type lzma: use gzip, zstd or uncompressed',
  ],
  [
    () => to('local', { dest: '/d', 'compression-level': 'x' }),
    'non-integer value x specified for compression-level: strconv.Atoi: parsing "x": invalid syntax',
  ],
  [
    () => to('local', { dest: '/d', 'compression-level': '10' }),
    'compression-level 10 is out of range: gzip takes 0 to 9',
  ],
  [
    () => to('local', { dest: '/d', 'force-compression': 'x' }),
    'non-bool value x specified for force-compression: strconv.ParseBool: parsing "x": invalid syntax',
  ],
  [
    () => to('local', { dest: '/d', mode: 'mox' }),
    'local cache exporter: mode=mox means nothing: it is min or max (did you mean max?)',
  ],
  [() => to('local', { dest: '/d', mod: 'max' }), 'local cache exporter: unknown attribute mod (did you mean mode?)'],
  [
    () => to('local', { dest: '/d', 'ignore-error': 'yes' }),
    'failed to configure local cache exporter: failed to parse ignore-error: strconv.ParseBool: parsing "yes": invalid syntax',
  ],
  [() => to('s3', {}), 'bucket ($AWS_BUCKET) not set for s3 cache'],
  [() => to('s3', { bucket: 'b' }), 'region ($AWS_REGION) not set for s3 cache'],
  [
    () => to('s3', { bucket: 'b', region: 'r', upload_parallelism: '0' }),
    'upload_parallelism must be a positive integer',
  ],
  [() => to('s3', { bucket: 'b', region: 'r', retry_mode: 'x' }), 'retry_mode must be "standard" or "adaptive"'],
  [
    () => to('s3', { bucket: 'b', region: 'r', retry_max_attempts: 'x' }),
    'retry_max_attempts must be a positive integer',
  ],
  [
    () => to('gha', { url: 'http://h/', token: 'x' }),
    'failed to configure gha cache exporter: token is malformed: token contains an invalid number of segments',
  ],
  [
    () => from('registry', { ref, 'max-age': 'old' }),
    'failed to configure registry cache importer: time: invalid duration "old" for max-age: write it as 90s, 15m, 24h or 7d',
  ],
];

test(`refusals: ${refusals.length} of ${refusals.length}`, () => {
  for (const [read, message] of refusals) {
    assert.throws(read, (error: unknown) => {
      assert(error instanceof CacheOptionsError);
      assert.equal(error.message, message);
      return true;
    });
  }
});

test('the same export twice is refused, the same source twice is one', () => {
  const twice = (attributes: Record<string, string>) => [
    { type: 'registry', attributes },
    { type: 'registry', attributes: { ...attributes, mode: 'max' } },
  ];
  assert.throws(
    () => openCacheExports(twice({ ref }), fakeMachine().deps),
    /^CacheOptionsError: duplicate cache exports \[registry\]$/,
  );
  const inline = { type: 'inline', attributes: {} };
  assert.equal(openCacheExports([inline, inline], fakeMachine().deps).isInline, true);
});
