import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { DefinitionSchema, OpSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { createFrontendCalls } from './frontend-calls.ts';

const graph = (digest: string) =>
  create(DefinitionSchema, { def: [toBinary(OpSchema, create(OpSchema, { inputs: [{ digest }] }))] });
const named = (digest: string) => new Map([['in', graph(digest)]]);
const call = (target: string) => ({ frontend: 'dockerfile.v0', options: new Map([['target', target]]) });

test('a graph is known by the call that made it while its build runs, unless calls differ', () => {
  const calls = createFrontendCalls();
  using reader = calls.hold();
  {
    using first = calls.hold();
    first.note(graph('sha256:a'), call('base'));
    assert.deepEqual(reader.find(named('sha256:a')), new Map([['in', call('base')]]));
    assert.equal(reader.find(named('sha256:b')).size, 0);
    assert.equal(reader.find(new Map([['in', create(DefinitionSchema)]])).size, 0);
    using second = calls.hold();
    second.note(graph('sha256:a'), call('base'));
    assert.deepEqual(reader.find(named('sha256:a')), new Map([['in', call('base')]]));
    second.note(graph('sha256:a'), call('other'));
    assert.equal(reader.find(named('sha256:a')).size, 0);
  }
  assert.equal(reader.find(named('sha256:a')).size, 0);
});
