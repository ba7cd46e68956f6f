import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_PROVENANCE, ProvenanceOptionError, parseProvenanceOptions } from './provenance-options.ts';

test('provenance asked for as Docker asks for it', () => {
  assert.deepEqual(parseProvenanceOptions(DEFAULT_PROVENANCE), {
    mode: 'min',
    version: 'v1',
    builderId: '',
    reproducible: false,
    inlineOnly: true,
    filename: 'provenance.json',
    completeMaterials: false,
  });
  assert.equal(parseProvenanceOptions('')?.mode, 'max');
  assert.equal(parseProvenanceOptions('true')?.mode, 'max');
  assert.equal(parseProvenanceOptions('type=provenance,disabled=false,mode=full')?.mode, 'max');
  assert.equal(parseProvenanceOptions('version=v0.2')?.version, 'v0.2');
  assert.equal(parseProvenanceOptions('"builder-id=a,b"')?.builderId, 'a,b');
  for (const off of ['false', '0', 'disabled=true']) assert.equal(parseProvenanceOptions(off), undefined);
});

test('provenance that cannot be', () => {
  const fails = (csv: string, message: RegExp) =>
    assert.throws(() => parseProvenanceOptions(csv), { name: ProvenanceOptionError.name, message });
  fails('mode=some', /invalid mode "some": it is min or max/);
  fails('max', /use mode=max/);
  fails('version=v2', /invalid provenance SLSA version: v2/);
  fails('reproducible=maybe', /failed to parse reproducible flag "maybe"/);
  fails('colour=red', /unknown attribute colour/);
  fails('mode="min', /comma-separated/);
});
