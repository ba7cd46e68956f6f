import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../wire/oci/digest.ts';
import { supplementSbom } from './supplement-sbom.ts';

const layer = { mediaType: 'layer', digest: digestOf('layer'), size: 5 };
const layerOf = (path: string) => (path === '/gone' ? undefined : layer);

test('a bill of materials says which layer each file is in, and who said so', () => {
  const document = {
    spdxVersion: 'SPDX-2.3',
    name: 'x',
    creationInfo: { creators: ['Tool: scanner'], created: '2030-01-01T00:00:00Z' },
    files: [{ fileName: '/a' }, { fileName: '/gone' }, { fileName: '/said', comment: 'mine' }, { SPDXID: 'odd' }],
    packages: [{ name: 'p', files: [{ fileName: '/b' }] }, { name: 'q' }],
  };
  const comment = `layerID: ${layer.digest}`;
  assert.deepEqual(JSON.parse(supplementSbom(JSON.stringify(document), layerOf)), {
    ...document,
    creationInfo: { ...document.creationInfo, creators: ['Tool: scanner', 'Tool: outcrop'] },
    files: [{ fileName: '/a', comment }, ...document.files.slice(1)],
    packages: [{ name: 'p', files: [{ fileName: '/b', comment }] }, { name: 'q' }],
  });
});

test('what is no such document stays as it is', () => {
  for (const text of ['{"name": "core"}', 'null', '[]', 'no JSON', '{"spdxVersion":"SPDX-9"}'])
    assert.equal(supplementSbom(text, layerOf), text);
});
