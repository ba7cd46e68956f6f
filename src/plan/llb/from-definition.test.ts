import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { DefinitionSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { definitionEdge, image, loadDefinition, local, marshal, run, type SourceMap, stateOf } from './index.ts';

const OPTIONS = { platform: { os: 'linux', architecture: 'amd64' }, uniqueID: 'unique' };

test('what is built on a definition holds it unchanged', () => {
  const map: SourceMap = { filename: 'F', language: 'L', data: new TextEncoder().encode('text') };
  const first = run(image('alpine'), ['a'], {
    name: 'named',
    ignoreCache: true,
    locations: [{ map, lines: [1, 2] }],
    mounts: [{ dest: '/m', source: local('l') }],
  });
  const before = marshal(first.mounts[0] ?? first.root, OPTIONS);
  const after = marshal(run(stateOf(definitionEdge(before)), ['b']).root, { ...OPTIONS, uniqueID: 'other' });
  assert.deepEqual(after.def.slice(0, before.def.length - 1), before.def.slice(0, -1));
  const [ours, theirs] = [loadDefinition(after), loadDefinition(before)];
  const head = theirs.head.vertex;
  const kept = ours.vertices.find(({ digest }) => digest === head.digest);
  assert.equal(kept?.name, 'named');
  assert.deepEqual(kept?.metadata, head.metadata);
  assert.deepEqual(kept?.locations, head.locations);
  assert.deepEqual(ours.sources, theirs.sources);
  assert.equal(ours.head.vertex.inputs[0]?.output, 1);
});

test('an empty definition is scratch', () => {
  assert.equal(definitionEdge(create(DefinitionSchema)), undefined);
});
