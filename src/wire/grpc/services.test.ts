import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Control } from '../proto/gen/control/control_pb.ts';
import { Health } from '../proto/gen/grpc/health_pb.ts';
import { ServerReflection } from '../proto/gen/grpc/reflection_pb.ts';
import { ServerReflection as Alpha } from '../proto/gen/grpc/reflection_v1alpha_pb.ts';
import { channelOver } from './channel.ts';
import { Code } from './code.ts';
import { healthRoutes } from './health.ts';
import { reflectionRoutes } from './reflection.ts';
import { createGrpcServer } from './server.ts';
import { serviceClient } from './service-client.ts';

function connect(t: TestContext) {
  const server = createGrpcServer([...healthRoutes(), ...reflectionRoutes([Control, Health])]);
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  return channel;
}

test('health of the server and of nothing else', async t => {
  const health = serviceClient(Health, connect(t));
  assert.equal((await health.check({})).status, 1);
  await assert.rejects(health.check({ service: 'x' }), { code: Code.notFound, message: 'unknown service' });
  assert.deepEqual(Object.keys((await health.list({})).statuses), ['']);
  for await (const { status } of health.watch({})) {
    assert.equal(status, 1);
    break;
  }
});

test('reflection names the services and gives their files', async t => {
  const channel = connect(t);
  for (const client of [serviceClient(ServerReflection, channel), serviceClient(Alpha, channel)]) {
    const requests = [
      { messageRequest: { case: 'listServices' as const, value: '' } },
      { messageRequest: { case: 'fileContainingSymbol' as const, value: 'moby.buildkit.v1.Control' } },
      { messageRequest: { case: 'fileByFilename' as const, value: 'nope.proto' } },
    ];
    const answers = [];
    for await (const { messageResponse } of client.serverReflectionInfo(
      (async function* () {
        yield* requests;
      })(),
    ))
      answers.push(messageResponse);
    const [services, files, missing] = answers;
    assert.ok(services?.case === 'listServicesResponse');
    assert.deepEqual(
      services.value.service.map(s => s.name),
      [
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
        'moby.buildkit.v1.Control',
      ],
    );
    assert.ok(files?.case === 'fileDescriptorResponse');
    const names = files.value.fileDescriptorProto.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes).name);
    assert.equal(names[0], 'control/control.proto');
    assert.ok(names.includes('google/protobuf/timestamp.proto'));
    assert.ok(missing?.case === 'errorResponse');
    assert.equal(missing.value.errorCode, Code.notFound);
  }
});
