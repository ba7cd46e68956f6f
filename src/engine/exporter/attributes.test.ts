import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readImageAttributes } from './attributes.ts';

test("Docker's media types: a manifest may have annotations, an index and descriptors may not", () => {
  const read = (key: string) => readImageAttributes('oci', { 'oci-mediatypes': 'false', [key]: 'v' }).annotations;
  for (const key of ['annotation.k', 'annotation-manifest.k', 'annotation-manifest[linux/amd64].k'])
    assert.deepEqual(read(key), { [key]: 'v' });
  for (const type of ['index', 'index-descriptor', 'manifest-descriptor', 'manifest-descriptor[linux/amd64]'])
    assert.throws(() => read(`annotation-${type}.k`), /^ExporterAttributeError: cannot export annotations/);
});
