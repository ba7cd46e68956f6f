import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { BuildOpSchema, ChownOptSchema, MountSchema, MountType } from '../../wire/proto/gen/pb/ops_pb.ts';
import { messageJson } from './message-json.ts';

test('zero values are left out, present messages are not', () => {
  const mount = create(MountSchema, { input: -1n, dest: '/c', mountType: MountType.CACHE, cacheOpt: {}, output: -1n });
  assert.equal(messageJson(MountSchema, mount), '{"input":-1,"dest":"/c","output":-1,"mountType":3,"cacheOpt":{}}');
});

test('map keys are sorted by bytes', () => {
  const build = create(BuildOpSchema, { builder: -1n, attrs: { ｚ: '1', '😀': '2', a: '<3>' } });
  assert.equal(messageJson(BuildOpSchema, build), '{"builder":-1,"attrs":{"a":"\\u003c3\\u003e","ｚ":"1","😀":"2"}}');
});

test('owners have a shape of their own', () => {
  const owner = create(ChownOptSchema, {
    user: { user: { case: 'byName', value: { name: 'app', input: 2n } } },
    group: { user: { case: 'byID', value: 1000 } },
  });
  assert.equal(
    messageJson(ChownOptSchema, owner),
    '{"user":{"User":{"byName":{"name":"app","input":2}}},"group":{"User":{"byId":1000}}}',
  );
  const root = create(ChownOptSchema, { user: { user: { case: 'byID', value: 0 } } });
  assert.equal(messageJson(ChownOptSchema, root), '{"user":{"User":{}}}');
});
