import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { credentialsFor, loadDockerConfig, parseDockerConfig } from './docker-config.ts';

const signal = new AbortController().signal;
const base64 = (text: string) => Buffer.from(text).toString('base64');
const parse = (value: unknown) => parseDockerConfig(JSON.stringify(value), 'config.json');
let dir: string;
let savedPath: string | undefined;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'outcrop-docker-config-'));
  savedPath = process.env['PATH'];
  process.env['PATH'] = `${dir}${delimiter}${savedPath}`;
});

after(async () => {
  process.env['PATH'] = savedPath;
  await rm(dir, { recursive: true });
});

async function helper(name: string, script: string): Promise<void> {
  const file = join(dir, `docker-credential-${name}`);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

test('reads the auths of the file', async () => {
  const config = parse({
    auths: {
      'https://index.docker.io/v1/': { auth: base64('hub:pass:word') },
      'https://old.example.com/v1/': { auth: base64('old:x\0\0') },
      'plain.example.com:5000': { username: 'a', password: 'b' },
      'id.example.com': { identitytoken: 'refresh' },
      'token.example.com': { registrytoken: 'bearer' },
      'empty.example.com': {},
    },
  });
  const of = (host: string) => credentialsFor(config, host, signal);
  for (const host of ['docker.io', 'registry-1.docker.io', 'index.docker.io']) {
    assert.deepEqual(await of(host), { username: 'hub', password: 'pass:word' });
  }
  assert.deepEqual(await of('old.example.com'), { username: 'old', password: 'x' });
  assert.deepEqual(await of('plain.example.com:5000'), { username: 'a', password: 'b' });
  assert.deepEqual(await of('id.example.com'), { identityToken: 'refresh' });
  assert.deepEqual(await of('token.example.com'), { registryToken: 'bearer' });
  assert.equal(await of('empty.example.com'), undefined);
  assert.equal(await of('other.example.com'), undefined);
});

test('asks the helper of the registry, then the store', async () => {
  await helper(
    'one',
    'read host; echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"u-$host\\",\\"Secret\\":\\"s\\"}"',
  );
  await helper('two', 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"refresh\\"}"');
  const config = parse({ credHelpers: { 'a.example.com': 'one' }, credsStore: 'two' });
  assert.deepEqual(await credentialsFor(config, 'a.example.com', signal), {
    username: 'u-a.example.com',
    password: 's',
  });
  assert.deepEqual(await credentialsFor(config, 'b.example.com', signal), { identityToken: 'refresh' });
  const hub = parse({ credsStore: 'one' });
  assert.equal((await credentialsFor(hub, 'docker.io', signal))?.username, 'u-https://index.docker.io/v1/');
});

test('a helper that has nothing leaves it to the file; one that fails is an error', async () => {
  await helper('none', 'echo "credentials not found in native keychain"; exit 1');
  await helper('broken', 'echo "keychain is locked" >&2; exit 2');
  await helper('noise', 'echo hello');
  const auths = { 'a.example.com': { username: 'u', password: 'p' } };
  const found = await credentialsFor(parse({ auths, credsStore: 'none' }), 'a.example.com', signal);
  assert.deepEqual(found, { username: 'u', password: 'p' });
  const fails = (store: string) => credentialsFor(parse({ auths, credsStore: store }), 'a.example.com', signal);
  await assert.rejects(fails('broken'), /docker-credential-broken failed for a.example.com: keychain is locked/);
  await assert.rejects(fails('noise'), /not JSON/);
  await assert.rejects(fails('absent'), /cannot run docker-credential-absent/);
});

test('a helper is stopped with the build', async () => {
  await helper('slow', 'sleep 30');
  const controller = new AbortController();
  const asked = credentialsFor(parse({ credsStore: 'slow' }), 'a.example.com', controller.signal);
  controller.abort(new Error('stopped'));
  await assert.rejects(asked, /stopped/);
});

test('reads $DOCKER_CONFIG, and $DOCKER_AUTH_CONFIG over it', async () => {
  const env = {
    DOCKER_CONFIG: dir,
    DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { b: { username: 'env', password: 'p' } } }),
  };
  assert.equal((await loadDockerConfig({ DOCKER_CONFIG: join(dir, 'absent') })).auths.size, 0);
  await writeFile(
    join(dir, 'config.json'),
    JSON.stringify({
      auths: { a: { username: 'a' }, b: { username: 'b' } },
      HttpHeaders: { 'X-Meta': '1' },
      proxies: { default: { httpProxy: 'http://proxy:1' } },
    }),
  );
  const config = await loadDockerConfig(env);
  assert.equal(config.auths.get('a')?.username, 'a');
  assert.equal(config.auths.get('b')?.username, 'env');
  assert.equal(config.httpHeaders.get('X-Meta'), '1');
  assert.equal(config.proxies.get('default')?.httpProxy, 'http://proxy:1');
  await writeFile(join(dir, 'config.json'), '{');
  await assert.rejects(loadDockerConfig(env), /config\.json is not valid JSON/);
  assert.throws(() => parse({ auths: { a: { auth: base64('nocolon') } } }), /not base64 of user:password/);
});
