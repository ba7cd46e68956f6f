import assert from 'node:assert/strict';
import { test } from 'node:test';
import { provenanceAttributes } from './build-provenance.ts';

test('what is pushed has provenance by default, unless the environment says no', () => {
  const pushed = {
    attests: new Map<string, string>(),
    outputs: [{ type: 'image', attributes: { push: 'true' } }] as const,
  };
  const said = (value?: string) => provenanceAttributes(pushed, { BUILDX_NO_DEFAULT_ATTESTATIONS: value });
  assert.match(said() ?? '', /mode=min/);
  for (const no of ['1', 'true', 'T']) assert.equal(said(no), undefined);
  for (const yes of ['', '0', 'false']) assert.equal(said(yes), said());
  assert.equal(provenanceAttributes({ ...pushed, outputs: [{ type: 'image', attributes: {} }] }, {}), undefined);
  const asked = { ...pushed, attests: new Map([['provenance', 'mode=max']]) };
  assert.equal(provenanceAttributes(asked, { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' }), 'mode=max');
});
