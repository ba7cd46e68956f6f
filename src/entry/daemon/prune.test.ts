import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOwnDaemon } from '../../../test/support/own-daemon.ts';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import { change, copy, marshal, type State, scratch } from '../../plan/llb/state.ts';
import type { ServiceClient } from '../../wire/grpc/service-client.ts';
import type { LLBBridge } from '../../wire/proto/gen/control/gateway_pb.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
if (skip === false) enterPrivateMountNamespace();

const file = (path: string, text: string): State =>
  change(scratch, [{ kind: 'mkfile', path, mode: 0o644, data: Buffer.from(text) }]);

async function make(bridge: ServiceClient<typeof LLBBridge>, state: State): Promise<string> {
  const definition = marshal(state, { platform: { os: 'linux', architecture: 'amd64' } });
  const { result } = await bridge.solve({
    Definition: definition,
    Evaluate: true,
    allowResultReturn: true,
    allowResultArrayRef: true,
  });
  assert.equal(result?.result.case, 'ref');
  return result.result.value.id;
}

test('pruning in a build removes what no build uses, and ends', { skip }, async () => {
  await using daemon = await startOwnDaemon();
  const used = async (): Promise<Map<string, boolean>> => {
    const { record } = await daemon.control.diskUsage({});
    return new Map(record.map(({ ID, InUse }) => [ID, InUse]));
  };
  await daemon.build({}, async bridge => {
    await make(bridge, file('/old', 'old'));
    return { result: { case: 'ref', value: { id: '' } } };
  });
  const [old = ''] = [...(await used()).keys()];
  assert.deepEqual([...(await used()).values()], [false]);
  await daemon.build({}, async bridge => {
    const own = file('/own', 'own');
    await make(bridge, own);
    assert.equal((await used()).get(old), false);
    const removed: string[] = [];
    for await (const { ID } of daemon.control.prune({ all: true })) removed.push(ID);
    assert.deepEqual(removed, [old]);
    assert.deepEqual([...(await used()).values()], [true]);
    // It is still there to be built on.
    const id = await make(bridge, change(scratch, [copy(own, { src: '/own', dest: '/copied' })]));
    const { Data: data } = await bridge.readFile({ Ref: id, FilePath: '/copied' });
    assert.equal(Buffer.from(data).toString(), 'own');
    return { result: { case: 'ref', value: { id } } };
  });
  const last: string[] = [];
  for await (const { ID } of daemon.control.prune({ all: true })) last.push(ID);
  assert.equal(last.length, 2);
  assert.deepEqual([...(await used()).keys()], []);
});
