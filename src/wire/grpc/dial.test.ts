import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Control } from '../proto/gen/control/control_pb.ts';
import { Code } from './code.ts';
import { AddressError, type ClientTls, channelToAddress, dialerFor } from './dial.ts';
import { type ListenOptions, listenOn } from './listen.ts';
import { createGrpcServer } from './server.ts';
import { serviceRoutes } from './service.ts';
import { serviceClient } from './service-client.ts';

function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outcrop-dial-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function serveOn(t: TestContext, address: string, options: ListenOptions = {}): Promise<string> {
  const server = createGrpcServer(serviceRoutes(Control, { info: async () => ({}) }));
  const [listener] = await listenOn(address, socket => void server.serve(socket), options);
  assert.ok(listener);
  t.after(() => Promise.all([listener[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]));
  return listener.address;
}

async function ask(address: string, tls?: ClientTls): Promise<void> {
  await using channel = channelToAddress(address, tls === undefined ? {} : { tls });
  await serviceClient(Control, channel).info({});
}

test('a Unix socket is private, and replaces one that was left behind', async t => {
  const path = join(temporaryDirectory(t), 'deep', 'daemon.sock');
  await serveOn(t, `unix://${path}`);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  await ask(`unix://${path}`);
  await serveOn(t, `unix://${path}`);
  await ask(`unix://${path}`);
});

test('TCP on a port that the system chooses', async t => {
  const address = await serveOn(t, 'tcp://localhost:0');
  assert.match(address, /^tcp:\/\/localhost:\d+$/);
  await ask(address);
});

test('TLS with certificates on both sides', async t => {
  const dir = temporaryDirectory(t);
  const file = (name: string): string => join(dir, name);
  const made = [['ca', 'server', 'client'].every(name => makeCertificate(dir, name)), existsSync(file('client.pem'))];
  if (made.includes(false)) return t.skip('needs openssl');
  const read = (name: string): Buffer => readFileSync(file(name));
  const ca = read('ca.pem');
  const tls = { ca, cert: read('server.pem'), key: read('server.key') };
  const address = await serveOn(t, 'tcp://localhost:0', { tls });
  const client = { ca, cert: read('client.pem'), key: read('client.key'), serverName: 'server' };
  await ask(address, client);
  await ask(await serveOn(t, 'tcp://127.0.0.1:0', { tls }), { ca, cert: client.cert, key: client.key });
  await assert.rejects(ask(address, { ca, serverName: 'server' }), { code: Code.unavailable });
  await assert.rejects(ask(address, { ...client, serverName: 'other' }), { code: Code.unavailable });
  await assert.rejects(ask(address), { code: Code.unavailable });
});

const OPENSSL = 'openssl';

function makeCertificate(dir: string, name: string): boolean {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`];
  const signer =
    name === 'ca' ? [] : ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  const args = ['req', '-x509', ...key, '-subj', `/CN=${name}`, '-days', '1', '-out', `${name}.pem`, ...signer];
  return spawnSync(OPENSSL, args, { cwd: dir }).status === 0;
}

test('addresses that are none', async () => {
  for (const [address, message] of [
    ['/run/x.sock', 'address /run/x.sock does not contain proto, you meant unix:///run/x.sock ?'],
    ['ftp://x', 'addr ftp://x not supported'],
    ['tcp://x', 'address tcp://x must be tcp://HOST:PORT'],
    ['docker-container://', 'address docker-container:// lacks the name of the container'],
    ['kube-pod://Pod_1', 'address kube-pod://Pod_1: unsupported name Pod_1'],
    ['ssh://u:p@h', 'address ssh://u:p@h: plain-text password is not supported'],
  ] as const) {
    assert.throws(() => dialerFor(address), new AddressError(message), address);
  }
  await assert.rejects(
    listenOn('ftp://x', () => {}),
    { message: 'addr ftp://x not supported' },
  );
  await assert.rejects(
    listenOn('fd://', () => {}, { env: {} }),
    /no sockets found via socket activation/,
  );
});

test('a program that cannot be run is an error', async t => {
  const before = process.env['PATH'];
  process.env['PATH'] = temporaryDirectory(t);
  t.after(() => (process.env['PATH'] = before));
  await assert.rejects(ask('docker-container://x'), { code: Code.unavailable, message: /spawn docker ENOENT/ });
});
