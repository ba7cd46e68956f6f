import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { type Credentials, type DockerConfig, parseDockerConfig } from '../../../host/config/docker-config.ts';
import { channelOver } from '../../grpc/channel.ts';
import { Code } from '../../grpc/code.ts';
import { createGrpcServer } from '../../grpc/server.ts';
import { serviceClient } from '../../grpc/service-client.ts';
import { readVector } from '../../proto/capture-fixture.ts';
import { Auth } from '../../proto/gen/session/auth_pb.ts';
import { type AuthOptions, createAuthService } from './auth-server.ts';
import { createSessionTokens, sessionCredentials } from './session-auth.ts';
import { isSignedBy, tokenAuthority } from './token-authority.ts';
import { tokenSeeds } from './token-seeds.ts';

const { signal } = new AbortController();

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-auth-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function configWith(host: string, { username, password, identityToken, registryToken }: Credentials): DockerConfig {
  const auth = { username, password, identitytoken: identityToken, registrytoken: registryToken };
  return parseDockerConfig(JSON.stringify({ auths: { [host]: auth } }), 'config.json');
}

function client(t: TestContext, config: DockerConfig, options: Partial<AuthOptions> = {}) {
  const service = createAuthService({
    config: async () => config,
    configDirectory: temporaryDirectory(t),
    env: {},
    ...options,
  });
  const server = createGrpcServer(service.routes);
  const [near, far] = duplexPair();
  void server.serve(far);
  const channel = channelOver(near);
  t.after(() => Promise.all([channel, server, service].map(each => each[Symbol.asyncDispose]())));
  return channel;
}

interface AuthorityVector {
  readonly salt: string;
  readonly seed: string;
  readonly payload: string;
  readonly withCredentials: { readonly publicKey: string; readonly signed: string };
  readonly withoutCredentials: { readonly publicKey: string; readonly signed: string };
}

test('authorities have the keys and signatures of the vector', t => {
  const vector = readVector('token-authority') as AuthorityVector;
  const [salt, seed, payload] = [vector.salt, vector.seed, vector.payload].map(hex => Buffer.from(hex, 'hex'));
  assert.ok(salt && seed && payload);
  for (const [own, expected] of [
    [seed, vector.withCredentials],
    [undefined, vector.withoutCredentials],
  ] as const) {
    const { publicKey, sign } = tokenAuthority(salt, own);
    assert.equal(Buffer.from(publicKey).toString('hex'), expected.publicKey);
    const signed = sign(payload);
    assert.equal(Buffer.from(signed).toString('hex'), expected.signed);
    assert.ok(isSignedBy(publicKey, payload, signed));
    assert.ok(!isSignedBy(publicKey, salt, signed));
    assert.ok(!isSignedBy(tokenAuthority(payload, own).publicKey, payload, signed));
    assert.ok(!isSignedBy(publicKey, payload, Buffer.concat([Buffer.alloc(64), payload])));
  }
  t.diagnostic('2 of 2 keys and signatures');
});

test('seeds are kept beside the configuration, in the form of other clients', async t => {
  const directory = join(temporaryDirectory(t), 'docker');
  const seeds = tokenSeeds(directory);
  const [a, again, b] = await Promise.all(['a.example', 'a.example', 'b.example'].map(host => seeds.get(host, signal)));
  assert.ok(a && again && b);
  assert.deepEqual([a.length, a], [16, again]);
  assert.notDeepEqual(a, b);
  assert.deepEqual(await tokenSeeds(directory).get('a.example', signal), a);
  const file = join(directory, '.token_seed');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(JSON.parse(readFileSync(file, 'utf8'))['b.example'].Seed, Buffer.from(b).toString('base64'));
  const nowhere = tokenSeeds('/dev/null/docker');
  assert.deepEqual(await nowhere.get('x', signal), await nowhere.get('x', signal));
});

test('credentials reach the daemon; a client without any has none', async t => {
  const used: string[] = [];
  const plain = client(t, configWith('r.example', { username: 'u', password: 'p' }), {
    onUse: text => used.push(text),
  });
  assert.deepEqual(await sessionCredentials(plain, 'r.example', signal), { username: 'u', password: 'p' });
  assert.deepEqual(await sessionCredentials(plain, 'r.example', signal), { username: 'u', password: 'p' });
  assert.equal(await sessionCredentials(plain, 'other.example', signal), undefined);
  assert.deepEqual(used, ['sharing credentials for r.example']);
  const hub = client(t, configWith('https://index.docker.io/v1/', { identityToken: 'i' }));
  assert.deepEqual(await sessionCredentials(hub, 'registry-1.docker.io', signal), { identityToken: 'i' });
});

test('tokens are fetched by the client, and shared with those who prove to be the same', async t => {
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push(`${request.method} ${request.url} ${request.headers.authorization ?? ''} ${body}`);
    const isPost = request.method === 'POST';
    response.statusCode = isPost && body.includes('username=old') ? 404 : 200;
    response.end(JSON.stringify({ [isPost ? 'access_token' : 'token']: `t${requests.length}`, expires_in: 300 }));
  }).listen(0, 'localhost');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const host = `localhost:${address.port}`;
  const request = { host, realm: `http://${host}/token`, service: 'reg', scopes: ['repository:a/b:pull'] };

  const tokens = createSessionTokens();
  const used: string[] = [];
  const configDirectory = temporaryDirectory(t);
  const config = configWith(host, { username: 'new', password: 'p' });
  const one = client(t, config, { configDirectory, onUse: text => used.push(text) });
  assert.equal(await tokens.get(one, request, signal), 't1');
  assert.equal(await tokens.get(one, request, signal), 't1');
  assert.equal(await tokens.get(one, { ...request, scopes: ['repository:a/b:pull,push'] }, signal), 't2');
  assert.deepEqual(used, [`a/b:pull token for ${host}`, `a/b:pull,push token for ${host}`]);
  assert.match(
    requests[0] ?? '',
    /^POST \/token {2}client_id=buildkit-client&service=reg&scope=repository%3Aa%2Fb%3Apull&grant_type=password&username=new&password=p$/,
  );

  const same = client(t, config, { configDirectory });
  assert.equal(await tokens.get(same, request, signal), 't1');
  const stranger = client(t, config);
  assert.equal(await tokens.get(stranger, request, signal), 't3');

  const old = client(t, configWith(host, { username: 'old', password: 'p' }));
  assert.equal(await tokens.get(old, request, signal), 't5');
  assert.equal(
    requests[4],
    `GET /token?service=reg&scope=repository%3Aa%2Fb%3Apull Basic ${Buffer.from('old:p').toString('base64')} `,
  );
  const anonymous = client(t, parseDockerConfig('{}', 'config.json'));
  assert.equal(await tokens.get(anonymous, request, signal), 't6');
  assert.match(requests[5] ?? '', /^GET \/token\?service=reg&scope=repository%3Aa%2Fb%3Apull {2}$/);
  const fixed = client(t, configWith(host, { registryToken: 'fixed' }));
  assert.equal((await serviceClient(Auth, fixed).fetchToken({ Host: host, Realm: request.realm })).Token, 'fixed');
});

test('a client may leave tokens to the daemon', async t => {
  const config = parseDockerConfig('{}', 'config.json');
  const channel = client(t, config, { env: { BUILDKIT_NO_CLIENT_TOKEN: 'true' } });
  const request = { host: 'r.example', realm: 'https://r.example/token', service: '', scopes: [] };
  assert.equal(await createSessionTokens().get(channel, request, signal), undefined);
  await assert.rejects(serviceClient(Auth, channel).getTokenAuthority({ Host: 'r.example' }), {
    code: Code.unavailable,
    message: 'client side tokens disabled',
  });
});
