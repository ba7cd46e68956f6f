import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOwnDaemon } from '../../../test/support/own-daemon.ts';
import { enterPrivateMountNamespace } from '../../host/system/namespace.ts';
import { change, marshal, scratch } from '../../plan/llb/state.ts';
import { serviceRoutes } from '../../wire/grpc/service.ts';
import { Exporter } from '../../wire/proto/gen/session/exporter_pb.ts';
import { openSession } from '../../wire/session/open-session.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
if (skip === false) enterPrivateMountNamespace();

test('the client chooses exporters when it sees the result, and hears what they answered', { skip }, async () => {
  await using daemon = await startOwnDaemon();
  const seen: { metadata?: string[]; refs?: string[]; response?: Record<string, string> } = {};
  let wanted = 'image';
  const routes = serviceRoutes(Exporter, {
    async findExporters({ metadata, refs }) {
      Object.assign(seen, { metadata: Object.keys(metadata), refs });
      return { exporters: [{ Type: wanted, Attrs: { name: 'example.com/chosen:1' } }] };
    },
    async finalizeExport({ exporterResponse: response }) {
      Object.assign(seen, { response });
      return {};
    },
  });
  await using session = openSession(daemon.channel, { routes });
  const run = (request: { readonly EnableSessionExporter: boolean }) =>
    daemon.build({ Session: session.id, ...request }, async bridge => {
      const state = change(scratch, [{ kind: 'mkfile', path: '/a', mode: 0o644, data: Buffer.from('a') }]);
      const Definition = marshal(state, { platform: { os: 'linux', architecture: 'amd64' } });
      const { result } = await bridge.solve({ Definition, allowResultReturn: true, allowResultArrayRef: true });
      assert.equal(result?.result.case, 'ref');
      const { id } = result.result.value;
      return { result: { case: 'ref', value: { id } }, metadata: { mine: Buffer.from('x') } };
    });
  assert.deepEqual(await run({ EnableSessionExporter: false }), {});
  assert.deepEqual(seen, {});
  const answers = await run({ EnableSessionExporter: true });
  assert.deepEqual(seen.metadata, ['mine']);
  assert.equal(seen.refs?.length, 1);
  assert.equal(answers['image.name'], 'example.com/chosen:1');
  assert.deepEqual(seen.response, answers);
  wanted = 'nothing';
  await assert.rejects(run({ EnableSessionExporter: true }), /exporter "nothing" could not be found/);
});
