import assert from 'node:assert/strict';
import { it } from 'node:test';
import { stepEnvironment } from './environment.ts';

it("orders a step's environment as BuildKit does", () => {
  assert.deepEqual(
    stepEnvironment({
      env: ['PATH=/bin', 'Z=1', 'Y=2'],
      sshSocket: '/run/buildkit/ssh_agent.0',
      proxy: { httpProxy: 'http://p:1', noProxy: '' },
      secrets: [{ name: 'S2', value: 'sec\n' }],
    }),
    [
      'PATH=/bin',
      'Z=1',
      'Y=2',
      'SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0',
      'HTTP_PROXY=http://p:1',
      'http_proxy=http://p:1',
      'S2=sec\n',
    ],
  );
  assert.deepEqual(stepEnvironment({ env: ['SSH_AUTH_SOCK=x', 'PATHS=1'], sshSocket: '/y' }), [
    'SSH_AUTH_SOCK=x',
    'PATHS=1',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ]);
});
