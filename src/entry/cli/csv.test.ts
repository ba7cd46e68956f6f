import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { csvFields, csvMap } from './csv.ts';
import { UsageError } from './errors.ts';

test('fields, bare and quoted', () => {
  assert.deepEqual(csvFields('type=image,"name=a,b",push=true'), ['type=image', 'name=a,b', 'push=true']);
  assert.deepEqual(csvFields('"a ""b"""'), ['a "b"']);
  assert.deepEqual(csvFields('a,'), ['a', '']);
});

test('bad quotes are refused', () => {
  for (const text of ['"a', 'a"b', '"a"b']) assert.throws(() => csvFields(text), UsageError);
});

test('keys are lower-cased and a field without = is refused', () => {
  assert.deepEqual(
    [...csvMap('Type=oci,dest=./A', '--output')],
    [
      ['type', 'oci'],
      ['dest', './A'],
    ],
  );
  assert.throws(() => csvMap('type=oci,dest', '--output'), /--output .*expected key=value, found "dest"/);
});

test('what is quoted comes back', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 1 }), fields => {
      const line = fields.map(field => `"${field.replaceAll('"', '""')}"`).join(',');
      assert.deepEqual(csvFields(line), fields);
    }),
  );
});
