import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { OCI_CONFIG, OCI_LAYER } from '../../wire/oci/media-types.ts';
import { imageManifest } from './manifest.ts';

test('what is known of a layer for own use does not leave in the manifest, and changes no digest', () => {
  const config = { mediaType: OCI_CONFIG, digest: digestOf('config'), size: 6 };
  const manifestOf = (annotations: Record<string, string> | undefined) => {
    const descriptor = {
      mediaType: OCI_LAYER,
      digest: digestOf('layer'),
      size: 5,
      ...(annotations && { annotations }),
    };
    return imageManifest(config, [{ descriptor, diffID: digestOf('diff'), createdAt: 0n }], true, {}).text;
  };
  const known = {
    'containerd.io/uncompressed': digestOf('diff'),
    'buildkit/createdat': '2030-01-01T00:00:00Z',
    'buildkit/description': 'COPY a /',
    'containerd.io/distribution.source.example.com': 'x',
  };
  assert.equal(manifestOf(known), manifestOf(undefined));
  assert.match(manifestOf({ ...known, mine: 'stays' }), /"annotations": \{\s*"mine": "stays"\s*\}/);
});
