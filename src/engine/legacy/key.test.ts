import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blankConfig, type ContainerConfig } from './container-config.ts';
import { configDigest, copyComment, keyParts, stepKey, withComment, withJoinedComment, withRunCommand } from './key.ts';

const config: ContainerConfig = { ...blankConfig, env: ['PATH=/bin', 'A=1'], labels: new Map([['v', '1']]) };

test('the key is the parent and what is compared of the config', () => {
  const wanted = withComment(config, 'ENV A=1');
  const key = stepKey('sha256:p', wanted);
  assert.deepEqual(stepKey('sha256:p', { ...wanted, labels: new Map([['v', '1']]) }), key);
  assert.notEqual(stepKey('sha256:q', wanted).digest, key.digest);
  assert.equal(stepKey('sha256:q', wanted).config, key.config);
  assert.notEqual(stepKey(undefined, wanted).digest, key.digest);
  assert.equal(key.parent, 'sha256:p');
});

test('each compared field changes the key', () => {
  const changes: Partial<ContainerConfig>[] = [
    { cmd: ['x'] },
    { entrypoint: ['x'] },
    { env: ['A=1', 'PATH=/bin'] },
    { shell: ['/bin/bash'] },
    { onBuild: ['RUN x'] },
    { user: 'x' },
    { workingDir: '/x' },
    { labels: new Map() },
    { exposedPorts: ['80/tcp'] },
    { volumes: ['/x'] },
    { healthcheck: { Test: ['NONE'] } },
    { stopSignal: '9' },
    { stopTimeout: 3 },
    { tty: true },
    { openStdin: true },
    { stdinOnce: true },
    { attachStdin: true },
    { attachStdout: true },
    { attachStderr: true },
    { networkDisabled: true },
    { argsEscaped: true },
  ];
  const digests = new Set(changes.map(change => configDigest({ ...config, ...change })));
  assert.equal(digests.size, changes.length);
  assert(!digests.has(configDigest(config)));
  assert.equal(changes.length, Object.keys(blankConfig).length);
});

test('the order of sets and maps does not count, and neither does an empty list in place of none', () => {
  const same: Partial<ContainerConfig>[] = [
    { volumes: ['/a', '/b'], exposedPorts: ['1/tcp', '2/udp'], labels: new Map([...config.labels, ['w', '2']]) },
    { volumes: ['/b', '/a'], exposedPorts: ['2/udp', '1/tcp'], labels: new Map([['w', '2'], ...config.labels]) },
  ];
  assert.equal(new Set(same.map(change => configDigest({ ...config, ...change }))).size, 1);
  assert.equal(configDigest({ ...config, cmd: [], entrypoint: [] }), configDigest(config));
});

test('commands of instructions that run nothing', () => {
  assert.deepEqual(withComment(config, 'ENV A=1').cmd, ['/bin/sh', '-c', '#(nop) ', 'ENV A=1']);
  const shell = { ...config, shell: ['/bin/bash', '-ec'] };
  assert.deepEqual(withJoinedComment(shell, 'WORKDIR /w').cmd, ['/bin/bash', '-ec', '#(nop) WORKDIR /w']);
  assert.equal(copyComment('COPY', 'file:abc', '/d', ''), 'COPY file:abc in /d ');
  assert.equal(copyComment('ADD', 'abc', './', '3:4'), 'ADD --chown=3:4abc in ./ ');
});

test('RUN lists the build arguments, sorted, and a count even if there is nothing to list', () => {
  const command = ['/bin/sh', '-c', 'x'];
  const args = new Map([
    ['B', '2'],
    ['A', '1'],
    ['http_proxy', 'p'],
  ]);
  const isListed = (name: string) => name !== 'http_proxy';
  const wanted = withRunCommand({ ...config, entrypoint: ['e'], argsEscaped: true }, command, args, isListed);
  assert.deepEqual(wanted.cmd, ['|2', 'A=1', 'B=2', ...command]);
  assert.equal(wanted.entrypoint, undefined);
  assert.equal(wanted.argsEscaped, false);
  assert.deepEqual(withRunCommand(config, command, new Map([['http_proxy', 'p']]), isListed).cmd, ['|0', ...command]);
  assert.deepEqual(withRunCommand(config, command, new Map(), isListed).cmd, command);
});

test('the parts name what is set', () => {
  const wanted = { ...withComment(config, 'USER u'), user: 'u', volumes: ['/b', '/a'], exposedPorts: ['80/tcp'] };
  assert.deepEqual(
    keyParts(wanted).map(({ kind, name, value }) => `${kind} ${name}=${value}`),
    [
      'command =/bin/sh -c #(nop)  USER u',
      'env PATH=/bin',
      'env A=1',
      'label v=1',
      'config user=u',
      'expose 80/tcp=',
      'volume /a=',
      'volume /b=',
    ],
  );
});
