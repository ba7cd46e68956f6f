import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDockerConfig } from '../../host/config/docker-config.ts';
import { proxyArguments } from './proxy-arguments.ts';

const config = parseDockerConfig(
  JSON.stringify({
    proxies: {
      default: { httpProxy: 'http://p:1', httpsProxy: 'http://p:2', noProxy: 'localhost', ftpProxy: '' },
      'tcp://engine:2375': { allProxy: 'socks://p' },
    },
  }),
  'config.json',
);

test('proxies of the configuration, of the engine that is named or by default', () => {
  const all = { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://p:2', NO_PROXY: 'localhost' };
  assert.deepEqual(Object.fromEntries(proxyArguments(config, new Map(), {})), all);
  const engine = { DOCKER_HOST: 'tcp://engine:2375' };
  assert.deepEqual([...proxyArguments(config, new Map(), engine)], [['ALL_PROXY', 'socks://p']]);
  assert.deepEqual([...proxyArguments(parseDockerConfig('{}', 'config.json'), new Map(), {})], []);
});

test('what the command line gives stays', () => {
  const given = new Map([
    ['http_proxy', 'mine'],
    ['HTTPS_PROXY', ''],
  ]);
  assert.deepEqual([...proxyArguments(config, given, {})], [['NO_PROXY', 'localhost']]);
});
