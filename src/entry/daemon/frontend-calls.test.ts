import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { DefinitionSchema, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { createFrontendCalls } from './frontend-calls.ts';

const graph = (digest: string) =>
  create(DefinitionSchema, { def: [toBinary(OpSchema, create(OpSchema, { inputs: [{ digest }] }))] });
const call = (target: string) => ({ frontend: 'dockerfile.v0', options: new Map([['target', target]]) });

test('a graph is known by the call that made it while its build runs, unless calls differ', () => {
  const calls = createFrontendCalls();
  using reader = calls.hold();
  {
    using first = calls.hold();
    first.note(graph('sha256:a'), call('base'));
    assert.deepEqual(reader.find(graph('sha256:a')), call('base'));
    assert.equal(reader.find(graph('sha256:b')), undefined);
    assert.equal(reader.find(create(DefinitionSchema)), undefined);
    using second = calls.hold();
    second.note(graph('sha256:a'), call('base'));
    assert.deepEqual(reader.find(graph('sha256:a')), call('base'));
    second.note(graph('sha256:a'), call('other'));
    assert.equal(reader.find(graph('sha256:a')), undefined);
  }
  assert.equal(reader.find(graph('sha256:a')), undefined);
});
