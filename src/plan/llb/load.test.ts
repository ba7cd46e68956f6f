import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { digestOf } from '../../wire/oci/digest.ts';
import { DefinitionSchema, type Op, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { image, loadDefinition, marshal, marshalMessage, run } from './index.ts';

type OpInit = Exclude<Parameters<typeof create<typeof OpSchema>>[1], Op | undefined>;

const PLATFORM = { platform: { os: 'linux', architecture: 'amd64' } };

function definitionOf(...ops: OpInit[]) {
  return create(DefinitionSchema, { def: ops.map(op => marshalMessage(OpSchema, create(OpSchema, op))) });
}

/** One op and a terminal on it. */
function definitionAround(op: OpInit, index = 0n) {
  const digest = digestOf(marshalMessage(OpSchema, create(OpSchema, op)));
  return definitionOf(op, { inputs: [{ digest, index }] });
}

test('what is no graph is refused in the words of the daemon', () => {
  const source: OpInit = { op: { case: 'source', value: { identifier: 'local://a' } } };
  const cases: [ReturnType<typeof definitionOf>, string][] = [
    [definitionOf(), 'invalid empty definition'],
    [definitionOf(source), 'invalid LLB with 1 vertexes'],
    [definitionOf(source, {}), 'invalid LLB with no inputs on last vertex'],
    [definitionOf(source, { inputs: [{ digest: 'sha256:none' }] }), 'invalid missing input digest sha256:none'],
    [definitionAround(source, -1n), 'invalid input 0 output index -1'],
    [definitionAround({ op: { case: 'exec', value: {} } }), 'invalid exec op with no meta'],
    [definitionAround({ op: { case: 'exec', value: { meta: {} } } }), 'invalid exec op with no args'],
    [definitionAround({ op: { case: 'exec', value: { meta: { args: ['x'] } } } }), 'invalid exec op with no mounts'],
    [
      definitionAround({ op: { case: 'exec', value: { meta: { args: ['x'] }, mounts: [{ dest: '/a' }] } } }),
      'invalid exec op with no rootfs',
    ],
    [definitionAround({ op: { case: 'file', value: {} } }), 'invalid file op with no actions'],
  ];
  for (const [definition, message] of cases)
    assert.throws(() => loadDefinition(definition), { name: 'DefinitionError', message });
});

test('ops written in another field order are renamed, and so is all above them', () => {
  const definition = marshal(run(run(image('alpine'), ['a']).root, ['b']).root, PLATFORM);
  const [source] = definition.def;
  assert.ok(source);
  // Platform and constraints first or last: the same message in other bytes.
  const split = source.indexOf(0x1a);
  const foreign = Uint8Array.from([...source.subarray(split), ...source.subarray(0, split)]);
  const before = loadDefinition(definition);
  const rename = (raw: Uint8Array, from: string, to: string) =>
    new Uint8Array(Buffer.from(Buffer.from(raw).toString('latin1').replaceAll(from, to), 'latin1'));
  let [from, to] = [digestOf(source), digestOf(foreign)];
  const def = [foreign];
  for (const raw of definition.def.slice(1)) {
    const renamed = rename(raw, from, to);
    [from, to] = [digestOf(raw), digestOf(renamed)];
    def.push(renamed);
  }
  const after = loadDefinition(create(DefinitionSchema, { def }));
  assert.deepEqual(
    after.vertices.map(({ digest }) => digest),
    before.vertices.map(({ digest }) => digest),
  );
});
