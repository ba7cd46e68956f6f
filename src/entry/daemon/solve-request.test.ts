import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { SolveRequestSchema } from '../../wire/proto/gen/control/control_pb.ts';
import { readSolveRequest } from './solve-request.ts';

const read = (init: MessageInitShape<typeof SolveRequestSchema>, allowed: readonly string[] = ['device']) =>
  readSolveRequest(create(SolveRequestSchema, init), new Set(allowed));

test('entitlements are granted as far as the daemon grants them', () => {
  const wanted = ['device=vendor.com/device,alias=gpu', 'network.host'];
  assert.deepEqual(read({ Entitlements: wanted }, ['device', 'network.host']).entitlements, new Set(wanted));
  const refused: [entitlements: string[], message: string][] = [
    [['network.host'], 'granting entitlement network.host is not allowed by build daemon configuration'],
    [['network.none'], 'unknown entitlement network.none'],
    [['network.host=x'], 'unknown entitlement network.host=x'],
    [['device=a,b=c'], 'unknown device config key "b"'],
  ];
  for (const [Entitlements, message] of refused) assert.throws(() => read({ Entitlements }), { message });
  assert.throws(() => read({ Entitlements: ['device=a'] }, []), {
    message: 'granting entitlement device is not allowed by build daemon configuration',
  });
});

test('a build that is to be held to a proxy is refused, since there is none', () => {
  assert.throws(() => read({ ProxyNetwork: true }), { message: 'proxy network provider is not available' });
});
