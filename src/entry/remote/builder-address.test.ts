import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BuildRequestError } from '../builder/frontend-options.ts';
import { parseBuilderAddresses } from './builder-address.ts';

test('addresses in one value or several, each with its certificates', t => {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-tls-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['ca', 'cert', 'key']) writeFileSync(join(dir, `${name}.pem`), name);
  const [ca, cert, key] = ['ca', 'cert', 'key'].map(text => Buffer.from(text));
  const tcp = 'tcp://a:1';
  assert.deepEqual(parseBuilderAddresses(['unix:///s', `${tcp},tlsdir=${dir},${tcp}`], {}), [
    { address: 'unix:///s' },
    { address: tcp, tls: { ca, cert, key } },
    { address: tcp },
  ]);
  assert.deepEqual(parseBuilderAddresses([`${tcp},cacert=${dir}/ca.pem,servername=b`], {}), [
    { address: tcp, tls: { ca, serverName: 'b' } },
  ]);
  const env = { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: dir };
  assert.deepEqual(parseBuilderAddresses([tcp, 'unix:///s'], env), [
    { address: tcp, tls: { ca, cert, key } },
    { address: 'unix:///s' },
  ]);
  for (const value of [
    'cacert=x,tcp://a:1',
    `${tcp},cert=${dir}/cert.pem`,
    'unix:///s,key=x',
    `${tcp},cacert=${dir}/x`,
  ])
    assert.throws(() => parseBuilderAddresses([value], {}), BuildRequestError, value);
});
