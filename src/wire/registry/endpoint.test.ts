import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGISTRY_HOST, type RegistryHostConfig } from '../../host/config/buildkitd-toml.ts';
import { endpointsOf, isLoopback } from './endpoint.ts';

const hosts = (entries: Record<string, Partial<RegistryHostConfig>>) =>
  new Map(Object.entries(entries).map(([host, config]) => [host, { ...DEFAULT_REGISTRY_HOST, ...config }]));

const shown = (domain: string, entries: Record<string, Partial<RegistryHostConfig>> = {}) =>
  endpointsOf(domain, hosts(entries)).map(
    e => `${e.scheme}://${e.host}${e.prefix}${e.fallbackToHttp ? ' or http' : ''}`,
  );

test('HTTPS, but plain HTTP on loopback and where it is said', () => {
  assert.deepEqual(shown('docker.io'), ['https://registry-1.docker.io/v2']);
  assert.deepEqual(shown('quay.io'), ['https://quay.io/v2']);
  assert.deepEqual(shown('localhost:5000'), ['http://localhost:5000/v2']);
  assert.deepEqual(shown('localhost:5000', { 'localhost:5000': { http: false } }), ['https://localhost:5000/v2']);
  assert.deepEqual(shown('a.b', { 'a.b': { http: true } }), ['http://a.b/v2']);
  assert.deepEqual(shown('a.b', { 'a.b': { insecure: true } }), ['https://a.b/v2']);
  assert.deepEqual(shown('a.b', { 'a.b': { insecure: true, http: true } }), ['https://a.b/v2 or http']);
});

test('mirrors come first, with their own settings and paths', () => {
  const settings = {
    'docker.io': { mirrors: ['m.example.com:5000/hub/x', '127.0.0.1:5000'] },
    'm.example.com:5000': { http: true },
  };
  assert.deepEqual(shown('docker.io', settings), [
    'http://m.example.com:5000/v2/hub/x',
    'http://127.0.0.1:5000/v2',
    'https://registry-1.docker.io/v2',
  ]);
  assert.deepEqual(
    endpointsOf('docker.io', hosts(settings)).map(e => e.namespace),
    ['docker.io', 'docker.io', undefined],
  );
});

test('knows loopback', () => {
  for (const host of ['localhost', 'localhost:1', '127.0.0.1', '127.1.2.3:5000', '[::1]', '[::1]:5000'])
    assert.ok(isLoopback(host), host);
  for (const host of ['localhost.example.com', '10.0.0.1', '128.0.0.1', '[fe80::1]:1'])
    assert.ok(!isLoopback(host), host);
});
